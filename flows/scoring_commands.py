"""`reprise score`: a file of texts -> the same file with scores."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.options import Address, AsJson, Model, Runner
from flows.starting import running_prefect
from flows.terminal import err, keep_native_messages, out
from tasks.workspace import home

if TYPE_CHECKING:
    from rich.progress import Progress

PLAIN_SECONDS = 10.0
TABLE = "CSV, TSV, JSONL or Parquet, plain or .gz; a path or an fsspec URL."


def score(
    input_: Annotated[str, typer.Argument(metavar="IN", help=f"The texts: {TABLE}")],
    output: Annotated[str, typer.Argument(metavar="OUT", help=f"Where to write them with their scores: {TABLE}")],
    model: Model = None,
    version: Annotated[str, typer.Option(help="A version's number or alias.")] = "champion",
    text_column: Annotated[str, typer.Option(help="The column of the texts.")] = "text",
    prefix: Annotated[str, typer.Option(help="What stands before the names of the columns that are added.")] = "",
    runner: Annotated[Runner, typer.Option(help="Where parts are scored.")] = "threads",
    workers: Annotated[int, typer.Option(min=1, help="How many parts are scored at once.")] = 2,
    address: Address = None,
    rows_per_part: Annotated[
        int, typer.Option(min=1, help="Rows that a worker scores at a time, and a kill can cost.")
    ] = 10_000,
    as_json: AsJson = False,
) -> None:
    """Score a file of texts with a registered model; rows and columns stay as they are, and scores are added.

    The output is there whole or not at all. After a kill, the same command goes on where it was.

    Example: reprise score reviews.csv scored.parquet --text-column review
    """
    from configs.loading import check_section
    from configs.scoring import ScoringConfig

    config = check_section(
        {
            "input": input_,
            "output": output,
            "model": model,
            "version": version,
            "text_column": text_column,
            "prefix": prefix,
            "rows_per_part": rows_per_part,
            "runner": {"kind": runner, "workers": workers, "address": address},
        },
        "reprise score",
        ScoringConfig,
    )
    from tasks.registration.scoring import pin_version
    from tasks.scoring.request import check_request

    check_request(config)
    pin_version(model, version)
    keep_native_messages(home() / "logs" / "native.log")
    ahead = ("tasks.training.network",) if runner == "threads" else ()
    with running_prefect("flows.scoring", ahead=ahead), shown_progress():
        from flows.scoring import scoring

        result = scoring(config)
    if as_json:
        print(json.dumps(result.model_dump(mode="json")))  # noqa: T201
        return
    kept = f", {result.reused_parts} of {result.parts} parts from before" if result.reused_parts else ""
    out.print(
        f"{result.rows:,} rows scored with {result.model} version {result.version}, {result.errors:,} with an error instead, "
        f"in {result.seconds:.1f} s ({result.rows_per_second:,.0f} rows/s{kept}): {result.output}",
        soft_wrap=True,
        markup=False,
    )


@contextmanager
def shown_progress() -> Iterator[None]:
    """In the block, show on standard error how far the scoring is: a bar on a terminal, else a line now and then."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    logger = logging.getLogger("reprise")
    logger.setLevel(logging.INFO)
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as progress:
        handler = _ProgressLines(progress)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)


class _ProgressLines(logging.Handler):
    def __init__(self, progress: "Progress") -> None:
        super().__init__()
        self._progress, self._told = progress, time.monotonic()
        self._task = progress.add_task("rows", total=None)

    def emit(self, record: logging.LogRecord) -> None:
        told: Any = getattr(record, "scoring_progress", None)
        if told is not None and not self._progress.disable:
            self._progress.tasks[0].total = told.expected  # not by `update`, which would forget the speed
            self._progress.update(self._task, completed=told.rows)
        elif told is None or time.monotonic() - self._told >= PLAIN_SECONDS:
            self._told = time.monotonic()
            err.print(record.getMessage(), markup=False, soft_wrap=True)
