"""How far the work is, for whoever shows it: records on a logger of their own, which no server is sent and no file keeps."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

logger = logging.getLogger("reprise.progress")
logger.setLevel(logging.INFO)
logger.propagate = False  # many a second

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


def is_shown() -> bool:
    """Tell whether anybody shows it."""
    return bool(logger.handlers)


def tell(
    work: str, done: float = 0, total: float | None = None, unit: str = "", note: str = "", *, ended: bool = False
) -> None:
    """Tell how far a piece of work is; it costs nothing where nobody shows it."""
    if logger.handlers:
        logger.info("%s", work, extra={"progress": Progress(work, done, total, unit, note, ended)})


@contextmanager
def working(work: str, total: float | None = None, unit: str = "") -> Iterator[None]:
    """Tell of a piece of work for as long as the block lasts; the block may tell how far it is, by the same name."""
    tell(work, 0, total, unit)
    try:
        yield
    finally:
        tell(work, ended=True)
