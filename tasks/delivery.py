"""From a run's journal to MLflow: sent in order by a thread, so that no run waits for MLflow, or ends because it is away.

What is sent twice, after a kill say, is there once: MLflow keeps a metric's point by its name, step, time and value, and the
rest by its name.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mlflow import MlflowClient  # noqa: TID251
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag  # noqa: TID251
from mlflow.exceptions import MlflowException  # noqa: TID251
from mlflow.protos.databricks_pb2 import (  # noqa: TID251
    BAD_REQUEST,
    INVALID_PARAMETER_VALUE,
    INVALID_STATE,
    MALFORMED_REQUEST,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
    ErrorCode,
)
from mlflow.utils.validation import MAX_METRICS_PER_BATCH, MAX_PARAMS_TAGS_PER_BATCH  # noqa: TID251
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_when_event_set, wait_exponential
from tenacity.nap import sleep_using_event

from tasks.journal import Datasets, Ended, Entry, Files, Journal, Line, Metrics, Opened, Params, RecordedDataset, Tags, Text

LONGEST_PAUSE_SECONDS = 15
REFUSALS = {
    ErrorCode.Name(code)
    for code in (
        BAD_REQUEST,
        INVALID_PARAMETER_VALUE,
        INVALID_STATE,
        MALFORMED_REQUEST,
        RESOURCE_ALREADY_EXISTS,
        RESOURCE_DOES_NOT_EXIST,
    )
}
"""What MLflow answers to what it will never take; all else, a password that was changed included, may be mended meanwhile."""
REFUSING_STATUS = (400, 404, 405, 413)
COLUMNS = [{"name": "text", "type": "string", "required": True}, {"name": "label", "type": "integer", "required": True}]
"""Of every dataset, as MLflow writes a schema."""

logger = logging.getLogger("reprise.tracking")


class SourceGone(FileNotFoundError):
    """A file that was to become an artifact is gone."""


class Delivery:
    """A run's journal, and the thread that delivers it."""

    def __init__(self, client: MlflowClient, run_id: str, journal: Journal, tell: Callable[[Exception], str]) -> None:
        """Begin to deliver; `tell` says in one line what MLflow raised."""
        self._client = client
        self.journal = journal
        self.trouble: Exception | None = None
        """What keeps the journal from being delivered at present."""
        self._run_id = run_id
        self._tell = tell
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self.stopped = False
        """Whether no more is sent: MLflow refused something, or `close` was called."""
        self._retrying = Retrying(
            retry=retry_if_exception(may_pass),
            wait=wait_exponential(multiplier=0.25, max=LONGEST_PAUSE_SECONDS),
            stop=stop_when_event_set(self._closing),
            sleep=sleep_using_event(self._closing),
            before_sleep=self._note_failure,
            reraise=True,
        )
        self._thread = threading.Thread(target=self._deliver, name=f"delivery of {run_id}", daemon=True)
        self._thread.start()

    def append(self, entry: Entry) -> None:
        """Keep an entry, which will be sent.

        Raises:
            JournalError: it cannot be written.
        """
        self.journal.append(entry)
        with self._changed:
            self._changed.notify_all()

    def settle(self, seconds: float) -> bool:
        """Wait until all that is recorded by now is delivered, and tell whether it is.

        It waits for so many seconds at most, and not where MLflow refuses something.
        """
        end = self.journal.size()
        with self._changed:
            self._changed.wait_for(lambda: self.stopped or self.journal.is_delivered(end), timeout=seconds)
            return self.journal.is_delivered(end)

    def close(self) -> None:
        """Send no more; what is left waits in the journal."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        # A request to a server that does not answer lasts minutes: it ends with the process, and is sent again by the next.
        self._thread.join(timeout=1)
        self.journal.close()

    def _deliver(self) -> None:
        try:
            while not self._closing.is_set():
                for batch in batches(self.journal.pending()):
                    if self._closing.is_set():
                        return
                    self._retrying(send, self._client, self._run_id, batch)
                    self.journal.mark_delivered(batch[-1].end)
                    self._note_success()
                with self._changed:
                    self._changed.wait_for(lambda: self._closing.is_set() or self.journal.pending())
        except Exception as error:
            if not (self._closing.is_set() and may_pass(error)):
                self.trouble = error
                logger.error("run %s: %s; what it records from now on waits in %s", *self._told(error))
        finally:
            with self._changed:
                self.stopped = True
                self._changed.notify_all()

    def _note_failure(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if self.trouble is None and isinstance(error, Exception):
            logger.warning("run %s: %s; the run goes on, and what it records waits in %s", *self._told(error))
        self.trouble = error if isinstance(error, Exception) else None

    def _note_success(self) -> None:
        if self.trouble is not None:
            logger.warning("run %s: MLflow answers again, and is sent what waited", self._run_id)
        self.trouble = None
        with self._changed:
            self._changed.notify_all()

    def _told(self, error: Exception) -> tuple[str, str, Path]:
        return self._run_id, self._tell(error), self.journal.path


def may_pass(error: BaseException) -> bool:
    """Tell whether what MLflow raised may go away while one waits: it is down, slow, overloaded, locked, or lets nobody in."""
    if is_refused(error) or "disk is full" in str(error):  # SQLite's, which MLflow takes for a passing one
        return False
    # What `requests` raises is an OSError without a number, which a file's has.
    of_a_file = isinstance(error, OSError) and error.errno is not None
    return not of_a_file or isinstance(error, ConnectionError | TimeoutError)


def is_refused(error: BaseException) -> bool:
    """Tell whether MLflow will never take what was sent, or that is gone."""
    if isinstance(error, MlflowException):
        return error.error_code in REFUSALS
    status = getattr(getattr(error, "response", None), "status_code", None)  # of an artifact's upload
    return status in REFUSING_STATUS or isinstance(error, SourceGone)


def batches(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Yield lines in order: together those that MLflow takes in one request, the others one by one."""
    batch: list[Line] = []
    for line in lines:
        if batch and not (_is_batchable(batch[-1].entry) and _is_batchable(line.entry)):
            yield batch
            batch = []
        batch.append(line)
    if batch:
        yield batch


def _is_batchable(entry: Entry) -> bool:
    return isinstance(entry, Metrics | Params | Tags)


def send(client: MlflowClient, run_id: str, batch: Sequence[Line]) -> None:
    """Send a batch to MLflow.

    Raises:
        Exception: what MLflow, its database or its artifact store raises; see `may_pass`.
        SourceGone: a file that was to become an artifact is gone.
    """
    first = batch[0].entry
    if isinstance(first, Text):
        client.log_text(run_id, first.text, first.name)
    elif isinstance(first, Files):
        _send_files(client, run_id, first)
    elif isinstance(first, Datasets):
        client.log_inputs(run_id, [_dataset_input(one) for one in first.datasets])
    elif isinstance(first, Ended):
        client.set_terminated(run_id, first.status, first.time)
        client.set_tag(run_id, "error", first.error)
    elif not isinstance(first, Opened):
        _send_values(client, run_id, [line.entry for line in batch])


def _send_values(client: MlflowClient, run_id: str, entries: Sequence[Entry]) -> None:
    metrics = [
        Metric(name, value, entry.time, entry.step)
        for entry in entries
        if isinstance(entry, Metrics)
        for name, value in entry.values.items()
    ]
    params = {name: value for entry in entries if isinstance(entry, Params) for name, value in entry.values.items()}
    tags = {name: value for entry in entries if isinstance(entry, Tags) for name, value in entry.values.items()}
    for start in range(0, max(len(params), len(tags)), MAX_PARAMS_TAGS_PER_BATCH // 2):
        part = slice(start, start + MAX_PARAMS_TAGS_PER_BATCH // 2)
        client.log_batch(
            run_id,
            params=[Param(name, value) for name, value in list(params.items())[part]],
            tags=[RunTag(name, value) for name, value in list(tags.items())[part]],
        )
    for start in range(0, len(metrics), MAX_METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + MAX_METRICS_PER_BATCH])


def _send_files(client: MlflowClient, run_id: str, files: Files) -> None:
    path = Path(files.path)
    if path.is_dir():
        client.log_artifacts(run_id, str(path), files.to or None)
    elif path.is_file():
        client.log_artifact(run_id, str(path), files.to or None)
    else:
        raise SourceGone(f"{path}, which was to become an artifact of run {run_id}, is gone")


def _dataset_input(one: RecordedDataset) -> DatasetInput:
    dataset = Dataset(
        name=one.name,
        digest=one.digest,
        source_type="local",
        source=one.source,
        schema=json.dumps({"mlflow_colspec": COLUMNS}),
        profile=one.profile,
    )
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", one.context)])


def milliseconds_now() -> int:
    """Return the time in milliseconds since 1970, as MLflow counts it."""
    return int(time.time() * 1000)
