"""Words for errors that stay one short line, whatever a file holds."""

from collections.abc import Sequence

from configs.one_line import one_line

NAMES_SHOWN = 20


def tell_error(error: BaseException) -> str:
    """Return what an exception says, or its type where it says nothing, in one short line."""
    return shorten(one_line(str(error)) or type(error).__name__)


def shorten(text: str, limit: int = 200) -> str:
    """Return a text, or its first characters and an ellipsis."""
    return text if len(text) <= limit else f"{text[:limit]} ..."


def list_names(names: Sequence[str]) -> str:
    """Return names in quotes, the first few of many."""
    shown = ", ".join(shorten(repr(name), 100) for name in names[:NAMES_SHOWN])
    return f"{shown} and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else shown
