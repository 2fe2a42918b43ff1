"""The one owner of MLflow's address: the store that it names, reached, made where it is embedded, and told of in one line."""

import getpass
import logging
import os
import shlex
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from filelock import FileLock

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported

import mlflow  # noqa: TID251
from mlflow import MlflowClient  # noqa: TID251
from mlflow.entities import LifecycleStage  # noqa: TID251
from mlflow.exceptions import MlflowException  # noqa: TID251
from mlflow.protos.databricks_pb2 import (  # noqa: TID251
    PERMISSION_DENIED,
    RESOURCE_ALREADY_EXISTS,
    TEMPORARILY_UNAVAILABLE,
    UNAUTHENTICATED,
    ErrorCode,
)
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_exponential

from configs.environment import take_credentials_from_addresses
from configs.one_line import without_credentials
from tasks.disk_space import tell_full_disk
from tasks.errors import InputError, RegistryError, StoreFull
from tasks.workspace import flush_to_disk

logger = logging.getLogger("reprise.tracking")

DATABASE_SECONDS = 90
"""So long a database that is locked, or just being restarted, is waited for where nothing is lost by waiting."""
ARTIFACTS = "artifacts"


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
            await_database(_require_unlocked)
        yield
    except (MlflowException, SQLAlchemyError, OSError, sqlite3.OperationalError) as error:
        raise (StoreFull if tell_full_store(error) else RegistryError)(tell_failure(error)) from error


def tell_failure(error: Exception) -> str:
    """Return in one line, without a password, what MLflow or its database raised."""
    return tell_full_store(error) or without_credentials(f"MLflow at {tracking_uri()} {_tell_failure(error)}")


def tell_full_store(error: Exception) -> str | None:
    """Return the line for an error that comes from the embedded store's disk having no room left, else None."""
    if not is_embedded():
        return None
    folder = Path(make_url(tracking_uri()).database or store_folder() / "mlflow.db").absolute().parent
    return tell_full_disk(error, folder, "what a run records in", below=[store_folder() / ARTIFACTS])


def await_database(ask: Callable[[], object]) -> None:
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
            await_database(lambda: client.search_experiments(max_results=1))
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


def run_link(experiment_id: str, run_id: str) -> str | None:
    """Return the address of a run in the MLflow UI, or None where the store is embedded."""
    server = server_url()
    return server and f"{without_credentials(server)}/#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"
