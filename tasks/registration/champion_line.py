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


def mark_candidates(entries: Sequence[LedgerEntry], gate_sha256: str) -> dict[str, float | None]:
    """Return the versions that may hold the high-water mark, with their accuracy on these gate rows where it is on record.

    They are the present champion, the best of the line by what is on record of these gate rows, and the best of it by what is
    on record at all: accuracies on different rows cannot be compared, so that one has to be scored again to tell.

    Args:
        entries: the ledger.
        gate_sha256: of the present gate rows.
    """
    line = [entry.version for entry in champion_line(entries)]
    accuracies: dict[str, float] = {}
    on_these_rows: dict[str, float] = {}
    for entry in entries:
        if entry.version in line and "accuracy" in entry.figures:
            accuracies[entry.version] = entry.figures["accuracy"]
            if entry.gate_sha256 == gate_sha256:
                on_these_rows[entry.version] = entry.figures["accuracy"]
    best = [max(known, key=lambda version: known[version]) for known in (on_these_rows, accuracies) if known]
    return {version: on_these_rows.get(version) for version in (*line[-1:], *best)}
