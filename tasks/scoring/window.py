"""Parts at work: so many at once, and finished in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")


class Future(Protocol):
    """Work that was handed to a runner."""

    def result(self) -> Any:
        """Wait for it; raises what it raised."""


def in_order(items: Iterable[Item], submit: Callable[[Item], Future | None], at_once: int) -> Iterator[Item]:
    """Yield each item once its work is done, in the order of the items; at most `at_once` items are taken and not yet yielded.

    Args:
        items: what to work on; the next is taken only when there is room for it.
        submit: begins the work on an item; None where there is nothing to be done.
        at_once: 1 or more.
    """
    waiting: deque[tuple[Item, Future | None]] = deque()
    for item in items:
        waiting.append((item, submit(item)))
        if len(waiting) == at_once:
            yield _finished(waiting)
    while waiting:
        yield _finished(waiting)


def _finished(waiting: deque[tuple[Item, Future | None]]) -> Item:
    item, future = waiting.popleft()
    if future is not None:
        future.result()
    return item
