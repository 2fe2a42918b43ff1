"""What a command shows while it works: on a terminal bars with the time left, anywhere else a line for each stage."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from datetime import timedelta
from threading import Lock

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.progress_bar import ProgressBar
from rich.table import Column
from rich.text import Text

from flows.terminal import err, keep_native_messages, out, shown_log_lines
from tasks import progress
from tasks.workspace import home

DRAWN_A_SECOND = 3
NARROW = 90
"""Columns below which bars are short, and have no notes."""


@contextmanager
def shown_work(*, on_stderr: bool = False, keep_native: bool = True) -> Iterator[None]:
    """In the block, show log lines, and bars where they go to a terminal.

    Args:
        on_stderr: keep standard output free, for the answer that is printed after the block.
        keep_native: from now on, have what C++ libraries write in a file; of use where TensorFlow is loaded.
    """
    if keep_native:
        keep_native_messages(home() / "logs" / "native.log")
    console = err if on_stderr else out  # each knows for itself whether it is a terminal
    with ExitStack() as stack:
        if on_stderr:
            stack.enter_context(redirect_stdout(sys.stderr))
        stack.enter_context(shown_log_lines(console))
        if draws_bars(console):
            stack.enter_context(_drawn_bars(console))
        yield


def draws_bars(console: Console) -> bool:
    """Tell whether a console is a terminal that can go back in its lines; FORCE_COLOR makes none of a pipe."""
    return console.file.isatty() and not console.is_dumb_terminal


@contextmanager
def _drawn_bars(console: Console) -> Iterator[None]:
    narrow = console.width < NARROW
    columns: list[ProgressColumn] = [
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        _Bar(bar_width=12 if narrow else 32),
        _Count(table_column=Column(no_wrap=True)),
        _Time(table_column=Column(no_wrap=True)),
    ]
    if not narrow:
        note = Column(no_wrap=True, overflow="ellipsis")
        columns.append(TextColumn("{task.fields[note]}", markup=False, style="dim", table_column=note))
    drawn = Progress(*columns, console=console, transient=True, refresh_per_second=DRAWN_A_SECOND)
    with drawn, progress.shown_by(_Bars(drawn).show):
        yield


class _Bars:
    """Keeps a row for each piece of work that is going on."""

    def __init__(self, drawn: Progress) -> None:
        self._drawn = drawn
        self._rows: dict[str, TaskID] = {}
        self._lock = Lock()

    def show(self, told: progress.Progress) -> None:
        with self._lock:
            self._show(told)

    def _show(self, told: progress.Progress) -> None:
        row = self._rows.get(told.work)
        if told.ended:
            if row is not None:
                self._drawn.remove_task(self._rows.pop(told.work))
                # At once: Rich loses a line that is printed while its thread draws another number of rows.
                self._drawn.refresh()
            return
        if row is None:
            self._rows[told.work] = self._drawn.add_task(told.work, total=told.total, unit=told.unit, note=told.note)
            return
        for task in self._drawn.tasks:
            if task.id == row:
                task.total = told.total  # not by `update`, which would forget the speed
        self._drawn.update(row, completed=told.done, unit=told.unit, note=told.note)


class _Bar(BarColumn):
    """A bar where the work can be counted; to draw one that only moves would cost more than it tells."""

    def render(self, task: Task) -> ProgressBar | Text:  # type: ignore[override]
        return Text("") if task.total is None else super().render(task)


class _Count(ProgressColumn):
    """How much is done, in its unit."""

    def render(self, task: Task) -> Text:
        unit = task.fields["unit"]
        if unit == "bytes":
            of = "" if task.total is None else f" of {decimal(int(task.total))}"
            return Text(f"{decimal(int(task.completed))}{of}")
        if task.total is None:
            return Text(f"{int(task.completed):,} {unit}" if task.completed else "")
        return Text(f"{int(task.completed):,}/{int(task.total):,} {unit}")


class _Time(ProgressColumn):
    """The time left, or the time that it has taken where nobody knows."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        left = task.time_remaining if task.total is not None else None
        if left is None:
            return Text(str(timedelta(seconds=int(task.elapsed or 0))))
        return Text(f"{timedelta(seconds=int(left))} left")
