"""Markdown that more than one page is made of."""

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table as its lines."""
    return [f"| {' | '.join(cells)} |" for cells in [header, ["---"] * len(header), *rows]]


def in_cell(text: str) -> str:
    """Return text that may stand in a cell of a table, whatever is in it."""
    return " ".join(text.replace("|", "\\|").split())
