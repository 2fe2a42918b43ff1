"""The one owner of the MLflow URI, the experiment and the run."""

import getpass
import logging
import os
import shlex
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from filelock import FileLock

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported

import mlflow  # noqa: TID251
import yaml
from mlflow import MlflowClient  # noqa: TID251
from mlflow.entities import LifecycleStage, Run, RunStatus, RunTag  # noqa: TID251
from mlflow.exceptions import MlflowException  # noqa: TID251
from mlflow.protos.databricks_pb2 import (  # noqa: TID251
    PERMISSION_DENIED,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
    UNAUTHENTICATED,
    ErrorCode,
)
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor  # noqa: TID251
from mlflow.utils.mlflow_tags import (  # noqa: TID251
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
    MLFLOW_USER,
)
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_exponential

from configs.environment import take_credentials_from_addresses
from configs.loading import flatten
from configs.one_line import without_credentials
from configs.schema import Config, TrackingConfig
from tasks.circumstances import read_circumstances
from tasks.delivery import Delivery, batches, may_pass, milliseconds_now, send
from tasks.disk_space import tell_full_disk
from tasks.errors import InputError, JournalError, RegistryError, RepriseError, StoreFull, TrialPruned
from tasks.handles import TrackedRun
from tasks.journal import JOURNAL, Ended, Journal, Line, Metrics, Params, Text, read_undelivered, write_delivered
from tasks.results import RUNS, UNFINISHED
from tasks.workspace import flush_to_disk, home, in_use, is_in_use

logger = logging.getLogger("reprise.tracking")

STARTING_SECONDS = 10
ENDING_SECONDS = 15
DATABASE_SECONDS = 90
"""So long a database that is locked, or just being restarted, is waited for where nothing is lost by waiting."""
ARTIFACTS = "artifacts"
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


def store_folder() -> Path:
    """Return the folder of the embedded store: `mlruns` in the working folder."""
    return Path("mlruns").absolute()


def tracking_uri() -> str:
    """Return `MLFLOW_TRACKING_URI`, or the embedded store's SQLite."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _embedded_uri()


def _embedded_uri() -> str:
    return f"sqlite:///{store_folder() / 'mlflow.db'}"


def server_url() -> str | None:
    """Return the address of the tracking server, or None where the store is embedded."""
    uri = tracking_uri()
    return uri.rstrip("/") if uri.startswith(("http://", "https://")) else None


def is_embedded() -> bool:
    """Tell whether the store is a file of this machine, so that a lock beside it keeps all its users apart."""
    return tracking_uri().startswith("sqlite:")


@contextmanager
def reaching_mlflow() -> Iterator[None]:
    """Turn what MLflow and its database raise in the block into one line; an embedded store that is locked is waited for.

    Raises:
        StoreFull: the disk of the embedded store has no room left.
        RegistryError: MLflow could not be reached, or refused.
    """
    try:
        if is_embedded():
            _await_database(_require_unlocked)
        yield
    except (MlflowException, SQLAlchemyError, OSError, sqlite3.OperationalError) as error:
        raise (StoreFull if _full_store(error) else RegistryError)(tell_failure(error)) from error


def tell_failure(error: Exception) -> str:
    """Return in one line, without a password, what MLflow or its database raised."""
    return _full_store(error) or without_credentials(f"MLflow at {tracking_uri()} {_tell_failure(error)}")


def _full_store(error: Exception) -> str | None:
    return tell_full_disk(error, store_folder(), "what a run records in") if is_embedded() else None


def _await_database(ask: Callable[[], object]) -> None:
    """Ask until the database is neither locked nor being restarted, for a while; say so where that takes long."""
    Retrying(
        retry=retry_if_exception(_is_database_away),
        wait=wait_exponential(multiplier=0.02, max=2),
        stop=stop_after_delay(DATABASE_SECONDS),
        before_sleep=_say_waiting,
        reraise=True,
    )(ask)


def _is_database_away(error: BaseException) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode == sqlite3.SQLITE_BUSY
    # The last is what the client makes of a server's 503, after it has asked again and again.
    return isinstance(error, MlflowException) and (
        error.error_code == ErrorCode.Name(TEMPORARILY_UNAVAILABLE) or "too many 503 error responses" in str(error)
    )


def _say_waiting(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, Exception) and state.idle_for - state.upcoming_sleep < 1 <= state.idle_for:  # once
        logger.warning("%s; waiting for at most %d s", tell_failure(error), DATABASE_SECONDS)


def _require_unlocked() -> None:
    path = make_url(tracking_uri()).database
    if not path or not Path(path).is_file():
        return
    try:
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=rw", uri=True, timeout=0)) as database:
            database.execute("begin immediate")
            database.rollback()
    except sqlite3.OperationalError as error:
        if _is_database_away(error):
            raise
        # MLflow itself tells what else is wrong with it, where that matters to what is asked.


def _tell_failure(error: Exception) -> str:
    lines = str(error).strip().split("\n")
    first_line = lines[-1] if lines[0].endswith(":") else lines[0]  # of files that could not be fetched, what the last one met
    code, user = getattr(error, "error_code", None), os.environ.get("MLFLOW_TRACKING_USERNAME")
    if code == ErrorCode.Name(UNAUTHENTICATED):
        refused = f"does not take the user {user!r} with this password" if user else "wants to know who asks"
        return f"{refused}: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    if code == ErrorCode.Name(PERMISSION_DENIED) and user:
        return f"does not allow that to the user {user!r}: {first_line}"
    if isinstance(error, PermissionError):
        return f"may not be used by {getpass.getuser()}: {first_line}; MLFLOW_TRACKING_URI names another store"
    return f"failed: {first_line}"


def shown_tracking_uri() -> str:
    """Return the tracking URI as it may be shown, without a password."""
    return without_credentials(tracking_uri())


def mlflow_command(arguments: str) -> str:
    """Return a command of MLflow's own as a message names it."""
    return f"`MLFLOW_TRACKING_URI={shlex.quote(shown_tracking_uri())} mlflow {arguments}`"


def connect() -> MlflowClient:
    """Return a client; on the first use of an embedded store, make its database.

    Raises:
        InputError: the store's path cannot stand in an address.
        RegistryError: MLflow could not be reached, or refused.
    """
    take_credentials_from_addresses()  # a worker's process begins with none of our commands
    uri = tracking_uri()
    # What it logs of an error of the database, with a traceback, it raises, too.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    if uri == _embedded_uri():
        _refuse_odd_path()
    with reaching_mlflow():
        mlflow.set_tracking_uri(uri)
        if server_url() is not None:
            return MlflowClient()
        store_folder().mkdir(exist_ok=True)
        _refuse_lost_database()
        # Two processes that both migrate a new SQLite break it.
        with FileLock(store_folder() / ".migration.lock"):
            if is_embedded():
                _ensure_database(Path(make_url(uri).database or "").absolute())
            client = MlflowClient()
            _await_database(lambda: client.search_experiments(max_results=1))
        return client


def _refuse_odd_path() -> None:
    """SQLAlchemy ends a path at its ?, and MLflow writes its first SQL with a quote that one of each kind breaks."""
    folder = str(store_folder())
    if "?" in folder or {"'", '"'} <= set(folder):
        raise InputError(
            f"{folder} has a ? or both kinds of quotes in its path, which MLflow's database cannot lie below: work in another "
            "folder, or name another store with MLFLOW_TRACKING_URI"
        )


def _refuse_lost_database() -> None:
    """A new database would begin with no champion, and have the next version promoted without a comparison."""
    database, artifacts = store_folder() / "mlflow.db", store_folder() / ARTIFACTS
    if tracking_uri() == _embedded_uri() and not database.exists() and artifacts.is_dir() and any(artifacts.iterdir()):
        raise RegistryError(
            f"{database} is gone, and with it the record of the models whose files are in {artifacts}: restore it from a "
            f"backup or, to begin anew, move {artifacts} away"
        )


def _ensure_database(path: Path) -> None:
    """Make a database that is not there yet under another name: MLflow cannot go on with one whose making was cut off."""
    if path.name == ":memory:" or (path.is_file() and path.stat().st_size):
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: TID251 (a server's user does without)

    draft = path.with_name(f".{path.name}.unfinished")
    for leftover in path.parent.glob(f"{draft.name}*"):  # with SQLite's journal
        leftover.unlink()
    SqlAlchemyStore(f"sqlite:///{draft}", (path.parent / "artifacts").as_uri())._dispose_engine()
    flush_to_disk(draft)
    draft.rename(path)


def ensure_experiment(client: MlflowClient, name: str, tags: Mapping[str, str] | None = None) -> str:
    """Return the id of the experiment `name`, which is made, with these tags, where there is none."""
    experiment = client.get_experiment_by_name(name)
    location = None if server_url() else (store_folder() / ARTIFACTS / name).as_uri()
    if experiment is None:
        try:
            return str(client.create_experiment(name, artifact_location=location, tags=dict(tags or {})))
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise
        experiment = client.get_experiment_by_name(name)  # another process made it just now
    if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
        restore = mlflow_command(f"experiments restore --experiment-id {experiment.experiment_id}")
        raise RegistryError(f"the experiment {name!r} is deleted: bring it back with {restore}")
    if location is not None:
        _refuse_other_store(name, experiment.artifact_location, location)
    return str(experiment.experiment_id)


def _refuse_other_store(experiment: str, location: str, ours: str) -> None:
    """MLflow keeps locations absolute: from a store that was moved or copied, a run would write to where it came from."""
    there = Path(url2pathname(urlsplit(location).path)) if location.startswith("file:") else None
    if there is None or there.parts[-3:-1] != ("mlruns", ARTIFACTS) or tracking_uri() != _embedded_uri():
        return  # a place that the user has chosen
    if there.parents[1].resolve() != store_folder().resolve():
        raise RegistryError(
            f"this MLflow store was moved or copied from {there.parents[1]} to {store_folder()}, and its experiment "
            f"{experiment!r} still keeps its artifacts there: move it back, or make {there.parents[1]} a link to "
            f"{store_folder()}"
        )


def every_page(search: Callable[..., Any], *arguments: object) -> Iterator[Any]:
    """Yield all that one of the client's searches finds, page after page."""
    token = None
    while True:
        page = search(*arguments, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


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
        _await_database(lambda: client.search_experiments(max_results=1))
    source = {MLFLOW_SOURCE_NAME: "reprise", MLFLOW_SOURCE_TYPE: "LOCAL", MLFLOW_USER: getpass.getuser()}
    all_tags = {**source, **read_circumstances(), **tags}
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
            total = {"seconds/total": time.perf_counter() - start}
            delivery.append(Metrics(time=milliseconds_now(), step=0, values=total))
            settle(run_id, config.tracking.wait_seconds)
            with reaching_mlflow():
                client.set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED))
        except BaseException as error:
            failed = isinstance(error, Exception) and not isinstance(error, TrialPruned)
            _end_otherwise(client, run_id, delivery, "FAILED" if failed else "KILLED", f"{type(error).__name__}: {error}")
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
        full = delivery.trouble is not None and _full_store(delivery.trouble)
        raise (StoreFull if full else RegistryError)(
            f"{told}{waited}: what run {run_id} recorded is kept in {delivery.journal.path}"
        )


def _end_otherwise(
    client: MlflowClient, run_id: str, delivery: Delivery | None, status: Literal["FAILED", "KILLED"], error: str
) -> None:
    """End a run that did not end well, now or, where MLflow is away, by its journal; log what cannot be done."""
    if delivery is not None and not delivery.stopped:
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
        _end_run(client, run_id, status, error)
    except RegistryError as unreachable:  # must not hide what went wrong first
        logger.error("run %s could not be ended as %s: %s", run_id, status, unreachable)


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


def find_running_runs() -> dict[str, dict[str, str]]:
    """Return the tags of all runs that are RUNNING, by their id; without those that have only just begun.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    return {run.info.run_id: dict(run.data.tags) for run in _list_running() if not _only_just_began(run)}


def _list_running() -> list[Run]:
    client = connect()
    with reaching_mlflow():
        experiments = [experiment.experiment_id for experiment in every_page(client.search_experiments)]
        return list(every_page(client.search_runs, experiments, "attributes.status = 'RUNNING'"))


def _only_just_began(run: Run) -> bool:
    """Tell whether a run may not have come to lock its folder yet, which it does before it marks it."""
    # One of the future began before the clock was put back.
    young = abs(time.time() * 1000 - run.info.start_time) <= STARTING_SECONDS * 1000
    return young and not (run_folder(run.info.run_id) / UNFINISHED).is_file()


def end_abandoned_runs() -> list[dict[str, str]]:
    """Send what runs of this machine's workspace left in their journals, and end those whose process was killed.

    The latter end as FAILED, unless their journal says how they ended.

    Returns:
        The tags of those that are no other run's child: a child's flow run may well go on.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    _deliver_left_journals()
    abandoned = []
    for run_id, tags in find_running_runs().items():
        folder = run_folder(run_id)
        lost = folder.is_dir() and not is_in_use(folder) and end_lost_run(run_id, "its process was killed")
        if lost and MLFLOW_PARENT_RUN_ID not in tags:
            abandoned.append(tags)
    return abandoned


def _deliver_left_journals() -> None:
    client = connect()
    for path in sorted((home() / RUNS).glob(f"*/{JOURNAL}")):
        run_id = path.parent.name
        try:
            store, lines = read_undelivered(path.parent)
            if store == shown_tracking_uri() and lines and not is_in_use(path.parent):
                with in_use(path.parent):
                    _deliver_left(client, run_id, path.parent, lines)
        except JournalError as damaged:
            logger.warning("run %s: %s", run_id, damaged)


def _deliver_left(client: MlflowClient, run_id: str, folder: Path, lines: list[Line]) -> None:
    for batch in batches(lines):
        try:
            send(client, run_id, batch)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            if may_pass(error):
                raise RegistryError(tell_failure(error)) from error
            logger.warning("run %s: a part of what it recorded is given up: %s", run_id, tell_failure(error))
        write_delivered(folder, batch[-1].end)
    logger.info("run %s: MLflow has now been sent what it recorded last", run_id)


def end_killed_runs(run_ids: Iterable[str]) -> None:
    """End as KILLED the runs that are known to have lost their process, where they have not ended.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    for run_id in run_ids:
        _end_running(run_id, RunStatus.KILLED, "its process was killed")


def end_lost_run(run_id: str, error: str) -> bool:
    """End as FAILED a run that nobody carries on, and tell whether it was still running; `error` becomes its tag of that name.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    ended = _end_running(run_id, RunStatus.FAILED, error)
    if ended:
        logger.warning("run %s could not end itself and is now FAILED: %s", run_id, error)
    return ended


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


def _end_running(run_id: str, status: int, error: str) -> bool:
    """End a run that has not ended by itself since it was listed, and tell whether it had not."""
    client = connect()
    with reaching_mlflow():
        running = bool(client.get_run(run_id).info.status == RunStatus.to_string(RunStatus.RUNNING))
    if running:
        _end_run(client, run_id, RunStatus.to_string(status), error)
    return running


def _end_run(client: MlflowClient, run_id: str, status: str, error: str) -> None:
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
            values = {f"{self._metrics_prefix}{name}": float(value) for name, value in self.aggregate_metrics().items()}
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


def run_link(experiment_id: str, run_id: str) -> str | None:
    """Return the address of a run in the MLflow UI, or None where the store is embedded."""
    server = server_url()
    return server and f"{without_credentials(server)}/#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"
