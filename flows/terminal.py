"""What the command prints: stages as they end, tables, and errors in one line."""

import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table

from configs.one_line import without_credentials

if TYPE_CHECKING:
    from tasks.handles import StageRecord
    from tasks.report import RunResult

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class StageLines(logging.Handler):
    """Prints a line for each stage that ends, and all other lines of ours as they are."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        stage: StageRecord | None = getattr(record, "stage_record", None)
        if stage is not None:
            out.print(f"[green]✓[/] {stage.stage:<20} {stage.seconds:>7.1f} s  {'reused' if stage.reused else ''}".rstrip())
        else:
            text = escape(without_credentials(record.getMessage()))
            out.print(f"[yellow]{text}[/]" if record.levelno >= logging.WARNING else text)


def show_log_lines() -> None:
    """Print the log lines of Reprise to the terminal, from INFO on."""
    logger = logging.getLogger("reprise")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, StageLines) for handler in logger.handlers):
        logger.addHandler(StageLines())
    for noisy in ("great_expectations", "mlflow", "alembic", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def keep_native_messages(path: Path) -> None:
    """From now on, append what C++ libraries write to standard error to a file: TensorFlow greets at every start, unasked.

    What Python writes there still goes to the terminal.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors)
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


def print_markdown(text: str) -> None:
    """Print Markdown: laid out on a terminal, as it is where it goes to a file or another program."""
    if out.is_terminal:
        out.print(Markdown(text))
    else:
        out.print(text, soft_wrap=True, markup=False)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in header:
        table.add_column(column, overflow="fold")  # a digest that is cut is no digest
    for row in rows:
        table.add_row(*map(escape, row))
    out.print(table)


def printable(text: str) -> str:
    """Return a text with what would steer a terminal, or cannot be written to it, as its escape."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def describe_prediction(prediction: Mapping[str, Any]) -> tuple[str, str]:
    """Return a prediction's probability and label in words, or the reason why there is none."""
    if prediction["error"] is not None:
        return "-", prediction["error"]
    return f"{prediction['probability']:.4f}", "positive" if prediction["label"] else "negative"


def print_result(result: "RunResult") -> None:
    """Print what a training run brought forth, and the two commands to go on with."""
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
    out.print(f'  {command} predict {choice} "A film I will not forget."', soft_wrap=True)
    out.print(f"  {command} ui")
