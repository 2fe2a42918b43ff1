"""How far the work is, for whoever shows it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

BESIDE_A_BAR = {"beside_a_bar": True}
"""The `extra` of a log line that says what a bar shows already, where there is one."""


class Progress(NamedTuple):
    """A piece of work by its name, of which `done` of `total` units are done, if it can be counted.

    `ended` work is not shown any more.
    """

    work: str
    done: float = 0
    total: float | None = None
    unit: str = ""
    note: str = ""
    ended: bool = False


# Not log lines: they are many a second, and neither Prefect's API nor a file wants them.
_showing: list[Callable[[Progress], None]] = []


@contextmanager
def shown_by(show: Callable[[Progress], None]) -> Iterator[None]:
    """In the block, hand what is told to a function, which any thread may call."""
    _showing.append(show)
    try:
        yield
    finally:
        _showing.remove(show)


def is_shown() -> bool:
    """Tell whether anybody shows it."""
    return bool(_showing)


def tell(
    work: str, done: float = 0, total: float | None = None, unit: str = "", note: str = "", *, ended: bool = False
) -> None:
    """Tell how far a piece of work is; it costs nothing where nobody shows it."""
    for show in _showing:
        show(Progress(work, done, total, unit, note, ended))


@contextmanager
def working(work: str, total: float | None = None, unit: str = "") -> Iterator[None]:
    """Tell of a piece of work for as long as the block lasts; the block may tell how far it is, by the same name."""
    tell(work, 0, total, unit)
    try:
        yield
    finally:
        tell(work, ended=True)
