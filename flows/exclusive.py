"""One training of a registered model at a time: of all that share a workspace, and of all that share a Prefect server."""

import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar

from filelock import FileLock, Timeout
from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists
from prefect.runtime import flow_run

from flows.servers import lasting_prefect_api
from tasks.workspace import home

logger = logging.getLogger("reprise.exclusive")

LEASE_SECONDS = 60
"""After so many seconds without a sign of its holder the server takes a slot back; the least that Prefect's API accepts."""
POLL_SECONDS = 5
_held: ContextVar[frozenset[str]] = ContextVar("held", default=frozenset())


@contextmanager
def only_training(model: str) -> Iterator[None]:
    """Run the block when no other training of a registered model runs, and have all others wait for it.

    In a workspace a lock keeps them apart, which the kernel frees with the process; on a Prefect server that outlives the
    process, also a concurrency limit, which the server frees when the process is dead. A block within such a block is run.
    """
    if model in _held.get():
        yield
        return
    with ExitStack() as held:
        _lock_workspace(model, held)
        if lasting_prefect_api() is not None:
            _take_slot(model, held)
        token = _held.set(_held.get() | {model})
        try:
            yield
        finally:
            _held.reset(token)


def limit_name(model: str) -> str:
    """Return the name of a model's concurrency limit on the Prefect server, which allows no / % & > < in it."""
    return f"one training of {re.sub('[/%&><]', '-', model)}"


def _lock_workspace(model: str, held: ExitStack) -> None:
    folder = home() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{limit_name(model)}.lock")
    try:
        lock.acquire(timeout=1)
    except Timeout:
        _say_waiting(model, "in this workspace")
        lock.acquire()
    held.callback(lock.release)


def _take_slot(model: str, held: ExitStack) -> None:
    name = limit_name(model)
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):  # another training made it just now
        client.upsert_global_concurrency_limit_by_name(name, 1)
    told = False
    while True:
        # Where the server cannot be told for a minute that we live, the training goes on: two at a time cost time alone,
        # since a promotion finds out by itself that another came first.
        slot = concurrency(
            name,
            timeout_seconds=POLL_SECONDS,
            lease_duration=LEASE_SECONDS,
            strict=True,
            raise_on_lease_renewal_failure=False,
        )
        try:
            held.enter_context(slot)
        except TimeoutError:
            if not told:
                _say_waiting(model, "on this Prefect server")
            told = True
        else:
            return


def _say_waiting(model: str, where: str) -> None:
    logger.info("%s waits for another training of %s %s", flow_run.name or "this training", model, where)
