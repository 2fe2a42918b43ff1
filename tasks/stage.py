"""A pipeline step: a Prefect task that is timed, told to the user, and not run again on what it has already seen."""

import functools
import hashlib
import inspect
import json
import logging
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from httpx import TransportError
from prefect import Task, task  # noqa: TID251
from prefect.cache_policies import NO_CACHE  # noqa: TID251
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError  # noqa: TID251
from prefect.settings import PREFECT_API_URL  # noqa: TID251

from configs.schema import Section
from tasks import handles
from tasks.disk_space import writing
from tasks.errors import OrchestrationError
from tasks.handles import StageOutput, StageRecord
from tasks.progress import working
from tasks.results import HANDLE_FILE, next_result_folder, one_at_a_time, remove_superseded, results_below
from tasks.shared_results import find_result, share_result
from tasks.workspace import code_version, in_use, published

P = ParamSpec("P")
Result = TypeVar("Result")
Output = TypeVar("Output", bound=StageOutput)

logger = logging.getLogger("reprise.stage")


class _Run(NamedTuple):
    records: list[StageRecord]
    force: bool
    held: ExitStack


_run: ContextVar[_Run | None] = ContextVar("run", default=None)


@contextmanager
def recorded_stages(*, force: bool = False, results: Path | None = None) -> Iterator[list[StageRecord]]:
    """Yield a list that every stage called in the block appends its record to.

    No other process removes a result that a stage in the block has returned before the block ends.

    Args:
        force: run every stage, whether or not its result is there.
        results: the folder to find and keep results in, instead of the workspace's.
    """
    with ExitStack() as held:
        if results is not None:
            held.enter_context(results_below(results))
        run = _Run([], force, held)
        token = _run.set(run)
        try:
            yield run.records
        finally:
            _run.reset(token)


def stage(name: str) -> Callable[[Callable[P, Result]], Callable[P, Result]]:
    """Make a function a stage that runs each time."""

    def decorate(function: Callable[P, Result]) -> Callable[P, Result]:
        prefect_task = task(name=name, task_run_name=name, cache_policy=NO_CACHE)(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Result:
            with _timed(name), reaching_prefect():
                return prefect_task(*args, **kwargs)

        return call

    return decorate


@contextmanager
def reaching_prefect() -> Iterator[None]:
    """Turn what Prefect raises in the block when its API is gone into one line.

    Raises:
        OrchestrationError: it could not be reached, for as long as Prefect's own client tries.
    """
    try:
        yield
    except (TransportError, ConcurrencySlotAcquisitionError) as error:
        api = PREFECT_API_URL.value()
        raise OrchestrationError(f"the Prefect API at {api} does not answer any more") from error


def submitted_stage(name: str) -> Callable[[Callable[P, Result]], Task[P, Result]]:
    """Make a function a stage that runs each time a flow submits it, with `.submit(...)`, where the flow's task runner says."""
    return task(name=name, cache_policy=NO_CACHE)


def cached_stage(
    name: str, *, identity: Callable[..., str] | None = None, uses: tuple[Path, ...] = ()
) -> Callable[[Callable[Concatenate[Path, P], Output]], Callable[P, Output]]:
    """Make a function that fills a folder a stage whose result is reused wherever its key is the same.

    The function's first parameter is an empty folder to fill; the handle it returns is given the folder's final path.
    The key is the sha256 of the arguments' digests, `identity(*args)` (for what the arguments only point to), and the
    source code of the function's room and of `uses`. A result that is gone or damaged is built again. Where `REPRISE_HOME`
    is a URL, results are shared through it.
    """

    def decorate(function: Callable[Concatenate[Path, P], Output]) -> Callable[P, Output]:
        room = Path(inspect.getfile(function)).parent
        code = code_version(room, Path(handles.__file__), *uses)
        output: type[Output] = inspect.signature(function).return_annotation
        signature = inspect.Signature(list(inspect.signature(function).parameters.values())[1:])

        def key_of(arguments: dict[str, Any]) -> str:
            parts = {parameter: _digest(value) for parameter, value in arguments.items()}
            if identity is not None:
                parts["identity"] = identity(**arguments)
            return hashlib.sha256(json.dumps([name, code, parts], sort_keys=True).encode()).hexdigest()[:32]

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Output:
            arguments = signature.bind(*args, **kwargs).arguments
            with _timed(name) as note, _present_run() as run, one_at_a_time(name, key := key_of(arguments)):
                # Hashed here, once: nobody removes it from now on, and its files are read only after that.
                found = find_result(name, key, run.held, force=run.force)
                folder = found.folder or next_result_folder(name, key)

                def fill(*args: P.args, **kwargs: P.kwargs) -> Output:
                    counts = folder
                    if found.folder is None:
                        with published(folder) as draft:
                            run.held.enter_context(in_use(draft))
                            handle = function(draft, *args, **kwargs)
                            # The same bytes wherever they are built, so that machines that share them need not exchange them.
                            handle = handle.model_copy(update={"path": "."})
                            (draft / HANDLE_FILE).write_text(handle.model_dump_json(indent=1))
                        counts = share_result(name, key, folder, found.beyond, run.held)
                    handle = output.model_validate_json((counts / HANDLE_FILE).read_text())
                    return handle.model_copy(update={"path": str(counts)})

                fill.__signature__ = signature  # type: ignore[attr-defined]
                fill.__doc__ = function.__doc__
                fill.__name__ = function.__name__  # Prefect names the task's key after it
                prefect_key = f"{name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:32]}"
                prefect_task = task(
                    name=name,
                    task_run_name=name,
                    cache_key_fn=lambda *_: prefect_key,
                    refresh_cache=found.folder is None or found.fetched,
                    persist_result=True,
                    result_serializer="json",
                )(fill)
                with writing(folder, f"the result of {name},"), reaching_prefect():  # Prefect keeps a record of it, too
                    result: Output = prefect_task(**arguments, return_state=True).result()
                if found.folder is None or found.fetched:
                    remove_superseded(name, key)
                note["reused"] = found.folder is not None
                return result

        return call

    return decorate


@contextmanager
def _present_run() -> Iterator[_Run]:
    run = _run.get()
    if run is not None:
        yield run
    else:
        with ExitStack() as held:
            yield _Run([], force=False, held=held)


@contextmanager
def _timed(name: str) -> Iterator[dict[str, bool]]:
    note = {"reused": False}
    start, cpu_start = time.perf_counter(), sum(os.times()[:4])
    try:
        with working(name):
            yield note
    except Exception as error:
        # One that comes while Prefect is beginning or ending a task is replaced by Prefect's own error.
        if (interrupt := _find_interrupt(error)) is not None:
            raise interrupt from error
        raise
    record = StageRecord(
        stage=name,
        seconds=time.perf_counter() - start,
        cpu_seconds=sum(os.times()[:4]) - cpu_start,
        peak_mebibytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        reused=note["reused"],
    )
    run = _run.get()
    if run is not None:
        run.records.append(record)
    how = "reused" if record.reused else "done"
    logger.info("%s %s in %.1f s", name, how, record.seconds, extra={"stage_record": record})


def _find_interrupt(error: BaseException) -> KeyboardInterrupt | None:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return cause


def _digest(value: Any) -> str:
    if isinstance(value, StageOutput):
        return hashlib.sha256(value.model_dump_json(exclude={"path"}).encode()).hexdigest()
    if isinstance(value, Section):
        return value.digest()
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
