"""The line of champions that a ledger tells of: each stands on the one before it, and a rollback takes away what it undid."""

from collections.abc import Sequence

from tasks.handles import LedgerEntry


def champion_line(entries: Sequence[LedgerEntry]) -> tuple[LedgerEntry, ...]:
    """Return the entries that made the champions which were not rolled back, the present champion's last."""
    line: list[LedgerEntry] = []
    for entry in entries:
        if entry.outcome != "promote":
            continue
        standing = [place for place, one in enumerate(line) if one.version == entry.version]
        if entry.action == "rollback" and standing:
            del line[standing[-1] + 1 :]
        else:
            line.append(entry)
    return tuple(line)


def previous_champion(entries: Sequence[LedgerEntry]) -> str | None:
    """Return the version that a rollback without a target goes back to, if there is one."""
    line = champion_line(entries)
    return line[-2].version if len(line) > 1 else None


def best_of_line(entries: Sequence[LedgerEntry]) -> dict[str, float]:
    """Return the versions that may hold the high-water mark, with the accuracy that each had when it was promoted.

    Accuracies on different gate rows cannot be compared, so it is the best of each set of gate rows.
    """
    best: dict[str | None, LedgerEntry] = {}
    for entry in champion_line(entries):
        known = best.get(entry.gate_sha256)
        if "accuracy" in entry.figures and (known is None or entry.figures["accuracy"] > known.figures["accuracy"]):
            best[entry.gate_sha256] = entry
    return {entry.version: entry.figures["accuracy"] for entry in best.values()}
