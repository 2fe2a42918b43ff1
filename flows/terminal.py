"""What the command prints: stages as they end, tables, and errors in one line."""

import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from uuid import UUID

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from configs.one_line import without_credentials
from tasks import progress

if TYPE_CHECKING:
    from tasks.handles import StageRecord
    from tasks.report import RunResult

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

WRAPPED_WIDTH = 24
"""The least width of a column that wraps."""


class StageLines(logging.Handler):
    """Prints a line for each stage that ends, and all other lines of ours as they are."""

    def __init__(self, console: Console) -> None:
        """Take the console to print to."""
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; one that tells how far the work is, only where no bar does."""
        if hasattr(record, "beside_a_bar") and progress.is_shown():
            return
        stage: StageRecord | None = getattr(record, "stage_record", None)
        if stage is not None:
            self._console.print(
                f"[green]✓[/] {stage.stage:<20} {stage.seconds:>7.1f} s  {'reused' if stage.reused else ''}".rstrip()
            )
        else:
            text = escape(without_credentials(record.getMessage()))
            self._console.print(f"[yellow]{text}[/]" if record.levelno >= logging.WARNING else text, soft_wrap=True)


@contextmanager
def shown_log_lines(console: Console) -> Iterator[None]:
    """In the block, print the log lines of Reprise, from INFO on."""
    logger = logging.getLogger("reprise")
    logger.setLevel(logging.INFO)
    for noisy in ("great_expectations", "mlflow", "alembic", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    handler = StageLines(console)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def keep_native_messages(path: Path) -> None:
    """From now on, append what C++ libraries write to standard error to a file: TensorFlow greets at every start, unasked.

    What Python writes there still goes to the terminal.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    encoding, errors = sys.stderr.encoding, sys.stderr.errors
    if sys.stderr is sys.__stderr__:  # else Python writes elsewhere already, maybe since an earlier call
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=encoding, errors=errors)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 2)


def print_error(message: str) -> None:
    """Print one line to standard error."""
    err.print(f"[red]error:[/] {escape(without_credentials(message))}", soft_wrap=True)


def print_warning(message: str) -> None:
    """Print one line to standard error, for what does not stop the work."""
    err.print(f"[yellow]warning:[/] {escape(without_credentials(message))}", soft_wrap=True)


def print_notes(error: BaseException) -> None:
    """Print to standard error what was added to an error on its way, a line each."""
    for note in getattr(error, "__notes__", ()):
        err.print(without_credentials(note), soft_wrap=True, markup=False)


def print_json(value: Any, to: TextIO | None = None) -> None:
    """Print a value as the one JSON document of a command, to standard output where no other stream is given."""
    print(json.dumps(value, default=_as_text), file=to, flush=True)


def _as_text(value: datetime | Path | UUID) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def print_markdown(text: str) -> None:
    """Print Markdown: laid out on a terminal, as it is where it goes to a file or another program."""
    if out.is_terminal:
        from flows.markdown import LaidOut

        out.print(LaidOut(text))
    else:
        out.print(text, soft_wrap=True, markup=False)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of which nothing is cut: as one where it fits, else a block of lines for each row.

    Where it goes to a file or another program, a row is a line. The last column may wrap on a terminal.
    """
    if not out.is_terminal:
        _print_lines(title, header, rows)
        return
    widths = [max(Text(row[place]).cell_len for row in (header, *rows)) for place in range(len(header))]
    # Each column has a border and two spaces; one that may wrap needs room for some words.
    if sum(widths[:-1]) + min(widths[-1], WRAPPED_WIDTH) + 3 * len(widths) + 1 > out.width:
        _print_blocks(title, header, rows)
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in header[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(header[-1], overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    out.print(table)


def _print_lines(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(Text(row[place]).cell_len for row in (header, *rows)) for place in range(len(header))]
    out.print(title, soft_wrap=True, markup=False)
    for row in (header, *rows):
        cells = [cell + " " * (width - Text(cell).cell_len) for cell, width in zip(row, widths, strict=True)]
        out.print("  ".join(cells).rstrip(), soft_wrap=True, markup=False)


def _print_blocks(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    out.print(f"[italic]{escape(title)}[/]")
    for row in rows:
        out.print()
        for name, cell in zip(header, row, strict=True):
            if cell:
                out.print(f"[bold]{escape(name)}[/]: {escape(cell)}" if name else escape(cell), overflow="fold")


def printable(text: str) -> str:
    """Return a text with what would steer a terminal, or cannot be written to it, as its escape."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def describe_prediction(prediction: Mapping[str, Any]) -> tuple[str, str]:
    """Return a prediction's probability and label in words, or the reason why there is none."""
    if prediction["error"] is not None:
        return "-", prediction["error"]
    return f"{prediction['probability']:.4f}", "positive" if prediction["label"] else "negative"


def print_result(result: "RunResult") -> None:
    """Print what a training run brought forth, and the commands to go on with."""
    from tasks.baseline_report import tell_gain
    from tasks.titles import METRIC_TITLES

    confidence = f"{result.evaluation.confidence:.0%} interval"
    rows = [
        [METRIC_TITLES[name], f"{figure.value:.4f}", f"{figure.low:.4f} to {figure.high:.4f}"]
        for name, figure in result.evaluation.metrics.items()
    ]
    version = result.version
    print_table(
        f"{version.name} version {version.version}, {result.evaluation.rows:,} test reviews",
        ["metric", "value", confidence],
        rows,
    )
    baseline = result.evaluation.baseline
    told = escape(tell_gain(baseline))
    out.print(f"[yellow]{told}[/]" if baseline.accuracy.gain.high < 0 else told, soft_wrap=True)
    out.print(f"[bold]{result.decision.outcome}[/]: {escape(result.decision.reason)}", soft_wrap=True)
    out.print(f"MLflow run {result.run.run_id}" + (f": {result.run.url}" if result.run.url else ""), soft_wrap=True)
    out.print("Next:")
    called = Path(sys.argv[0])
    command = os.path.relpath(called) if called.name == "reprise" and not shutil.which("reprise") else "reprise"
    choice = f"--model {version.name} --version {version.version}"
    out.print(f'  {command} predict {choice} "A wonderful film."', soft_wrap=True)
    out.print(f"  {command} show {version.version} --model {version.name}", soft_wrap=True)
    out.print(f"  {command} ui", soft_wrap=True)
