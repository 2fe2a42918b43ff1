"""Words for errors that stay one short line, whatever a file holds."""

from collections.abc import Sequence

NAMES_SHOWN = 20


def one_line(error: BaseException, limit: int = 200) -> str:
    """Return what an exception says, or its type where it says nothing, in one line of at most so many characters."""
    return shorten(" ".join(str(error).split()) or type(error).__name__, limit)


def shorten(text: str, limit: int = 200) -> str:
    """Return a text, or its first characters and an ellipsis."""
    return text if len(text) <= limit else f"{text[:limit]} ..."


def list_names(names: Sequence[str]) -> str:
    """Return names in quotes, the first few of many."""
    shown = ", ".join(shorten(repr(name), 100) for name in names[:NAMES_SHOWN])
    return f"{shown} and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else shown
