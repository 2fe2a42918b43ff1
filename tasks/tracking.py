"""A run in MLflow from its start to its end, and the delivery of what it records."""

import getpass
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Protocol

import yaml
from mlflow import MlflowClient  # noqa: TID251
from mlflow.entities import LifecycleStage, RunStatus, RunTag  # noqa: TID251
from mlflow.exceptions import MlflowException  # noqa: TID251
from mlflow.protos.databricks_pb2 import (  # noqa: TID251
    RESOURCE_DOES_NOT_EXIST,
    ErrorCode,
)
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor  # noqa: TID251
from mlflow.utils.mlflow_tags import (  # noqa: TID251
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
    MLFLOW_USER,
)

from configs.loading import flatten
from configs.one_line import without_credentials
from configs.schema import Config, TrackingConfig
from tasks.circumstances import read_circumstances
from tasks.delivery import Delivery, milliseconds_now
from tasks.errors import JournalError, RegistryError, RepriseError, StoreFull, TrialPruned
from tasks.handles import TrackedRun
from tasks.journal import Ended, Journal, Metrics, Params, Text
from tasks.metric_names import seconds_metric
from tasks.mlflow_store import (
    await_database,
    connect,
    ensure_experiment,
    every_page,
    reaching_mlflow,
    run_link,
    shown_tracking_uri,
    tell_failure,
    tell_full_store,
)
from tasks.results import RUNS
from tasks.workspace import home, in_use

logger = logging.getLogger("reprise.tracking")

ENDING_SECONDS = 15
REGISTERED_MODEL = "registered_model"
"""The tag of the runs that train a candidate for a registered model."""
FLOW_RUN, EARLIER_FLOW_RUNS = "prefect.flow_run_id", "prefect.earlier_flow_run_ids"
"""Tags of an MLflow run: its Prefect run, and those that it was cut off in."""
_deliveries: dict[str, Delivery] = {}


class Standing(Enum):
    """What MLflow has of a run that was cut off; all but the first come before its address in a sentence."""

    CAN_GO_ON = ""
    FINISHED = "is finished in MLflow at"
    DELETED = "is deleted in MLflow at"
    UNKNOWN = "is not known to MLflow at"


class RecordedConfig(Protocol):
    """What a run records, whole: a training's configuration, or another's."""

    @property
    def experiment(self) -> str:
        """The name of the run's experiment."""

    @property
    def tracking(self) -> TrackingConfig:
        """What is recorded beside it."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """Return all of it as a tree."""


@contextmanager
def training_run(
    config: RecordedConfig,
    *,
    name: str,
    tags: Mapping[str, str],
    parent: TrackedRun | None = None,
    reopened: str | None = None,
    during: Callable[[Path], AbstractContextManager[object]] = nullcontext,
) -> Iterator[TrackedRun]:
    """Yield an MLflow run with the configuration and its circumstances recorded.

    The run ends FINISHED with the block, FAILED with its error as the tag `error`, or KILLED by an interrupt or a pruner.

    Args:
        config: what is recorded as the run's parameters.
        name: a new run's.
        tags: further tags.
        parent: the run that this one is shown below.
        reopened: the id of a run that was cut off and is gone on with; without it, the run is new.
        during: what to hold, given the run's folder, from the moment that the folder is in use until the run has ended.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    start = time.perf_counter()
    with reaching_mlflow():
        await_database(lambda: client.search_experiments(max_results=1))
    source = {MLFLOW_SOURCE_NAME: "reprise", MLFLOW_SOURCE_TYPE: "LOCAL", MLFLOW_USER: getpass.getuser()}
    all_tags = {**source, **tags, **read_circumstances()}  # shown in this order
    with reaching_mlflow():
        if parent is not None:
            client.get_run(parent.run_id)  # a worker elsewhere may have been told of another store, or of none
            all_tags[MLFLOW_PARENT_RUN_ID] = parent.run_id
        experiment_id = ensure_experiment(client, config.experiment)
        if reopened is None:
            run_id = client.create_run(experiment_id, run_name=name, tags=all_tags).info.run_id
        else:
            run_id, name = reopened, _reopen_run(client, reopened, all_tags)
    with ExitStack() as held:
        delivery = None
        try:
            folder = run_folder(run_id)
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(in_use(folder))
            held.enter_context(during(folder))
            delivery = held.enter_context(_delivering(client, run_id, folder))
            held.enter_context(_system_metrics(run_id, delivery, config.tracking))
            tree = config.model_dump(mode="json")
            delivery.append(Params(values={key: str(value) for key, value in flatten(tree).items()}))
            delivery.append(Text(name="config.yaml", text=yaml.safe_dump(tree, sort_keys=False)))
            yield TrackedRun(
                run_id=run_id,
                experiment_id=experiment_id,
                experiment=config.experiment,
                name=name,
                folder=str(folder),
                url=run_link(experiment_id, run_id),
                resumed=reopened is not None,
            )
            # In the block: a run whose folder nobody holds, and that has not ended, counts as killed.
            total = {seconds_metric("total"): round(time.perf_counter() - start, 3)}
            delivery.append(Metrics(time=milliseconds_now(), step=0, values=total))
            settle(run_id, config.tracking.wait_seconds)
            with reaching_mlflow():
                client.set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED))
        except BaseException as error:
            failed = isinstance(error, Exception) and not isinstance(error, TrialPruned)
            _end_otherwise(client, run_id, delivery, "FAILED" if failed else "KILLED", _tell_error(error))
            raise


@contextmanager
def _delivering(client: MlflowClient, run_id: str, folder: Path) -> Iterator[Delivery]:
    delivery = Delivery(client, run_id, Journal(folder, shown_tracking_uri()), tell_failure)
    _deliveries[run_id] = delivery
    try:
        yield delivery
    finally:
        del _deliveries[run_id]
        delivery.close()


def delivery_of(run: TrackedRun) -> Delivery:
    """Return what a run that this process records is recorded through."""
    return _deliveries[run.run_id]


def settle(run_id: str, seconds: float) -> None:
    """Wait, at most so many seconds, until MLflow has all that a run of this process has recorded.

    Raises:
        StoreFull: the disk of the embedded store has no room left; what is missing is kept.
        RegistryError: it has not, or refuses something for good; what is missing is kept.
    """
    delivery = _deliveries[run_id]
    if delivery.trouble is not None and not delivery.stopped:
        logger.info("run %s waits for MLflow, at most %g s", run_id, seconds)
    if not delivery.settle(seconds):
        if isinstance(delivery.trouble, RepriseError):
            raise delivery.trouble
        told = tell_failure(delivery.trouble) if delivery.trouble else f"MLflow at {shown_tracking_uri()} is slow"
        waited = "" if delivery.stopped else f", and did not take all within {seconds:g} s"
        full = delivery.trouble is not None and tell_full_store(delivery.trouble)
        raise (StoreFull if full else RegistryError)(
            f"{told}{waited}: what run {run_id} recorded is kept in {delivery.journal.path}"
        )


def _end_otherwise(
    client: MlflowClient, run_id: str, delivery: Delivery | None, status: Literal["FAILED", "KILLED"], error: str
) -> None:
    """End a run that did not end well, now or, where MLflow is away, by its journal; log what cannot be done."""
    if delivery is not None:
        try:
            delivery.append(Ended(time=milliseconds_now(), status=status, error=error))
        except JournalError as unwritten:  # must not hide what went wrong first
            logger.error("%s", unwritten)
        else:
            if delivery.settle(0 if delivery.trouble else ENDING_SECONDS):
                return
            if not delivery.stopped:
                logger.error("run %s ended as %s, which MLflow will be told by the next training", run_id, status)
                return
    try:
        end_run(client, run_id, status, error)
    except RegistryError as unreachable:  # must not hide what went wrong first
        logger.error("run %s could not be ended as %s: %s", run_id, status, unreachable)


def _tell_error(error: BaseException) -> str:
    return without_credentials(f"{type(error).__name__}: {error}")


def find_standing(run_id: str) -> Standing:
    """Tell whether a run that was cut off can go on.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    with reaching_mlflow():
        try:
            info = client.get_run(run_id).info
        except MlflowException as error:
            if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                return Standing.UNKNOWN
            raise
    if info.lifecycle_stage != LifecycleStage.ACTIVE:
        return Standing.DELETED
    return Standing.FINISHED if info.status == RunStatus.to_string(RunStatus.FINISHED) else Standing.CAN_GO_ON


def _reopen_run(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> str:
    """Have a run that was cut off be RUNNING again, with the tags of what goes on with it, and return its name."""
    run = client.get_run(run_id)
    before = run.data.tags
    flow_runs = [before[tag] for tag in (EARLIER_FLOW_RUNS, FLOW_RUN) if tag in before]
    earlier = {EARLIER_FLOW_RUNS: " ".join(flow_runs)} if flow_runs else {}
    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in {**tags, **earlier}.items()])
    client.update_run(run_id, RunStatus.to_string(RunStatus.RUNNING))
    if "error" in before:
        client.delete_tag(run_id, "error")
    return str(run.info.run_name)


def find_training(config: Config, source_sha256: str) -> str | None:
    """Return the id of a training of the configuration's model on this content that is FINISHED or RUNNING, or None.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    trained_on = f"tags.`dataset.source_sha256` = '{source_sha256}'"
    with reaching_mlflow():
        experiment = client.get_experiment_by_name(config.experiment)
        if experiment is None:
            return None
        for run in every_page(client.search_runs, [experiment.experiment_id], trained_on):
            # A model's name may hold what would end a string of the search's.
            if run.data.tags.get(REGISTERED_MODEL) == config.registered_model and run.info.status in ("FINISHED", "RUNNING"):
                return str(run.info.run_id)
    return None


def run_folder(run_id: str) -> Path:
    """Return the local folder for what a run makes; the run's process holds it in use."""
    return home() / RUNS / run_id


def end_run(client: MlflowClient, run_id: str, status: str, error: str) -> None:
    """End a run with a status, by its name, and an error, which becomes its tag of that name.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    with reaching_mlflow():
        client.set_terminated(run_id, status)
        client.set_tag(run_id, "error", error)


class _SystemMetrics(SystemMetricsMonitor):  # type: ignore[misc]
    """Samples as MLflow's own does, into the journal, and without asking MLflow each time whether the run goes on."""

    def __init__(self, run_id: str, delivery: Delivery, seconds: float) -> None:
        super().__init__(run_id, sampling_interval=seconds)
        self._delivery = delivery
        self._next_step = delivery.journal.next_step(self._metrics_prefix)

    def monitor(self) -> None:
        self.collect_metrics()
        while not self._shutdown_event.wait(self.sampling_interval):
            values = {
                f"{self._metrics_prefix}{name}": round(float(value), 3) for name, value in self.aggregate_metrics().items()
            }
            try:
                self._delivery.append(Metrics(time=milliseconds_now(), step=self._next_step, values=values))
            except JournalError as unwritten:
                logger.warning("system metrics are recorded no more: %s", unwritten)
                return
            self._next_step += 1
            for monitor in self.monitors:
                monitor.clear_metrics()
            self.collect_metrics()

    def finish(self) -> None:
        self._shutdown_event.set()
        self._process.join()


@contextmanager
def _system_metrics(run_id: str, delivery: Delivery, tracking: TrackingConfig) -> Iterator[None]:
    if not tracking.system_metrics:
        yield
        return
    monitor = _SystemMetrics(run_id, delivery, tracking.system_metrics_seconds)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
