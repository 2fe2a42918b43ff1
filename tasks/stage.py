"""A pipeline step: a Prefect task that is timed, told to the user, and not run again on what it has already seen."""

import functools
import hashlib
import inspect
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from prefect import task  # noqa: TID251
from prefect.cache_policies import NO_CACHE  # noqa: TID251

from configs.schema import Section
from tasks import handles
from tasks.handles import StageOutput, StageRecord
from tasks.workspace import code_version, home, is_whole, published

P = ParamSpec("P")
Result = TypeVar("Result")
Output = TypeVar("Output", bound=StageOutput)

HANDLE_FILE = "handle.json"
logger = logging.getLogger("reprise.stage")


_records: ContextVar[list[StageRecord] | None] = ContextVar("stage_records", default=None)


@contextmanager
def recorded_stages() -> Iterator[list[StageRecord]]:
    """Yield a list that every stage called in the block appends its record to."""
    records: list[StageRecord] = []
    token = _records.set(records)
    try:
        yield records
    finally:
        _records.reset(token)


def stage(name: str) -> Callable[[Callable[P, Result]], Callable[P, Result]]:
    """Make a function a stage that runs each time."""

    def decorate(function: Callable[P, Result]) -> Callable[P, Result]:
        prefect_task = task(name=name, task_run_name=name, cache_policy=NO_CACHE)(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Result:
            with _timed(name):
                return prefect_task(*args, **kwargs)

        return call

    return decorate


def cached_stage(
    name: str, *, identity: Callable[..., str] | None = None, uses: tuple[Path, ...] = ()
) -> Callable[[Callable[Concatenate[Path, P], Output]], Callable[P, Output]]:
    """Make a function that fills a folder a stage whose result is reused wherever its key is the same.

    The function's first parameter is an empty folder to fill; the handle it returns is given the folder's final path.
    The key is the sha256 of the arguments' digests, `identity(*args)` (for what the arguments only point to), and the
    source code of the function's room and of `uses`. A folder that is gone or damaged is built again.
    """

    def decorate(function: Callable[Concatenate[Path, P], Output]) -> Callable[P, Output]:
        room = Path(inspect.getfile(function)).parent
        code = code_version(room, Path(handles.__file__), *uses)
        output: type[Output] = inspect.signature(function).return_annotation
        parameters = list(inspect.signature(function).parameters.values())[1:]

        def folder_for(arguments: dict[str, Any]) -> Path:
            parts = {parameter: _digest(value) for parameter, value in arguments.items()}
            if identity is not None:
                parts["identity"] = identity(**arguments)
            key = json.dumps([name, code, parts], sort_keys=True)
            return home() / "stages" / name / hashlib.sha256(key.encode()).hexdigest()[:32]

        def fill(*values: Any, **named: Any) -> Output:
            arguments = inspect.Signature(parameters).bind(*values, **named).arguments
            folder = folder_for(arguments)
            if not is_whole(folder):
                with published(folder) as draft:
                    handle = function(draft, **arguments)  # type: ignore[call-arg]
                    handle = handle.model_copy(update={"path": str(folder)})
                    (draft / HANDLE_FILE).write_text(handle.model_dump_json(indent=1))
            return output.model_validate_json((folder / HANDLE_FILE).read_text())

        fill.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        fill.__doc__ = function.__doc__
        fill.__name__ = function.__name__  # Prefect names the task's key after it
        prefect_task = task(
            name=name,
            task_run_name=name,
            cache_key_fn=lambda _, arguments: f"{name}-{folder_for(arguments).name}",
            persist_result=True,
            result_serializer="json",
        )(fill)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Output:
            arguments = inspect.Signature(parameters).bind(*args, **kwargs).arguments
            with _timed(name) as note:
                refresh = not is_whole(folder_for(arguments))
                state = prefect_task.with_options(refresh_cache=refresh)(**arguments, return_state=True)
                note["reused"] = not refresh
                result: Output = state.result()
                return result

        return call

    return decorate


@contextmanager
def _timed(name: str) -> Iterator[dict[str, bool]]:
    logger.debug("%s ...", name)
    note = {"reused": False}
    start = time.perf_counter()
    yield note
    record = StageRecord(stage=name, seconds=time.perf_counter() - start, reused=note["reused"])
    records = _records.get()
    if records is not None:
        records.append(record)
    how = "reused" if record.reused else "done"
    logger.info("%s %s in %.1f s", name, how, record.seconds, extra={"stage_record": record})


def _digest(value: Any) -> str:
    if isinstance(value, StageOutput):
        return hashlib.sha256(value.model_dump_json(exclude={"path"}).encode()).hexdigest()
    if isinstance(value, Section):
        return value.digest()
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
