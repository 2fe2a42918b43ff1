"""What Prometheus is told."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tasks.registration.loaded_version import LoadedVersion
from tasks.serving.following import Trouble

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        """Make them, all at zero."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, of its beginning, which nobody asks for
        registry = self._registry = CollectorRegistry()
        self._requests = Counter("reprise_requests", "Requests that were answered", ["path", "status"], registry=registry)
        self._seconds = Histogram(
            "reprise_request_seconds", "From a request to its answer", ["path"], buckets=SECONDS, registry=registry
        )
        self._of_request: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._texts = Counter("reprise_texts", "Texts that were scored, those of explanations included", registry=registry)
        self._batches = Histogram("reprise_batch_texts", "Texts of a batch", buckets=SIZES, registry=registry)
        self._batch_requests = Histogram("reprise_batch_requests", "Requests of a batch", buckets=SIZES, registry=registry)
        self._batch_seconds = Histogram(
            "reprise_batch_seconds", "The model's time for a batch", buckets=SECONDS, registry=registry
        )
        self._model = Gauge("reprise_model_info", "1 for the version that is served", ["model", "version"], registry=registry)
        self._loaded = Gauge(
            "reprise_model_loaded_timestamp_seconds", "When the version that is served was loaded", registry=registry
        )
        self._swaps = Counter("reprise_model_swaps", "Versions that were loaded to be served", registry=registry)
        self._troubles = Counter(
            "reprise_follow_failures", "Times that what should be served could not be found or loaded", registry=registry
        )
        self._troubled = Gauge("reprise_follow_trouble", "1 while what is served may not be what should be", registry=registry)
        self._waiting = Gauge("reprise_waiting_texts", "Texts that wait to be scored", registry=registry)
        ProcessCollector(registry=registry)

    def tell_request(self, path: str, status: int, seconds: float) -> None:
        """Count a request; `path` is one of the server's own, or a word for all others."""
        if (path, status) not in self._of_request:  # to look its series up costs more than to count it
            self._of_request[path, status] = self._requests.labels(path, status), self._seconds.labels(path)
        requests, durations = self._of_request[path, status]
        requests.inc()
        durations.observe(seconds)

    def tell_batch(self, requests: int, texts: int, seconds: float) -> None:
        """Count a batch."""
        self._batches.observe(texts)
        self._batch_requests.observe(requests)
        self._batch_seconds.observe(seconds)
        self._texts.inc(texts)

    def tell_swap(self, loaded: LoadedVersion) -> None:
        """Note which version is served."""
        self._model.clear()
        self._model.labels(loaded.pinned.name, loaded.pinned.version).set(1)
        self._loaded.set(loaded.loaded.timestamp())
        self._swaps.inc()

    def tell_trouble(self, trouble: Trouble | None) -> None:
        """Note a failure to follow, or that there is none any more."""
        self._troubled.set(trouble is not None)
        if trouble is not None:
            self._troubles.inc()

    def write(self, waiting_texts: int) -> bytes:
        """Return them as Prometheus reads them."""
        self._waiting.set(waiting_texts)
        return generate_latest(self._registry)
