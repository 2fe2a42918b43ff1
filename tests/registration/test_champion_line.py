"""Who stands in the line of champions after promotions and rollbacks."""

from datetime import UTC, datetime

import pytest

from tasks.handles import LedgerEntry
from tasks.registration.champion_line import champion_line, mark_candidates, previous_champion


def entries(*steps):
    """Entries of steps such as "gate 3", "keep 4" or "rollback 1"; the accuracy, where one is given, is of 1,000 rows."""
    made, champion = [], None
    for step in steps:
        action, version, *accuracy = step.split()
        outcome = "keep" if action == "keep" else "promote"
        after = version if outcome == "promote" else champion
        made.append(
            LedgerEntry(
                number=len(made) + 1,
                claim="0",
                time=datetime(2026, 11, 1, tzinfo=UTC),
                actor="someone",
                action="gate" if action == "keep" else action,
                outcome=outcome,
                version=version,
                champion_before=champion,
                champion_after=after,
                reason="because",
                gate_sha256=accuracy[1] if len(accuracy) > 1 else "rows",
                figures={"accuracy": float(accuracy[0])} if accuracy else {},
                digests={},
                previous_sha256="",
            )
        )
        champion = after
    return made


@pytest.mark.parametrize(
    ("steps", "line", "previous"),
    [
        ([], [], None),
        (["gate 1"], ["1"], None),
        (["gate 1", "keep 2", "gate 3"], ["1", "3"], "1"),
        (["gate 1", "gate 3", "gate 5", "rollback 3"], ["1", "3"], "1"),
        (["gate 1", "gate 3", "gate 5", "rollback 3", "rollback 1"], ["1"], None),
        (["gate 1", "gate 3", "rollback 1", "override 5"], ["1", "5"], "1"),
        (["gate 1", "gate 3", "rollback 1", "rollback 3"], ["1", "3"], "1"),
    ],
)
def test_a_rollback_takes_what_it_undid_out_of_the_line(steps, line, previous):
    made = entries(*steps)
    assert [entry.version for entry in champion_line(made)] == line
    assert previous_champion(made) == previous


@pytest.mark.parametrize(
    ("steps", "candidates"),
    [
        (["gate 1 0.86", "gate 2 0.88", "gate 3 0.87"], {"3": 0.87, "2": 0.88}),
        # What was rolled back holds no mark; the champion always may, whatever put it in its place.
        (["gate 1 0.86", "gate 2 0.99", "rollback 1"], {"1": 0.86}),
        (["gate 1 0.86", "gate 2 0.9", "rollback 1", "rollback 2"], {"2": 0.9}),
        (["gate 1 0.86", "override 2"], {"2": None, "1": 0.86}),
        (["gate 1 0.86", "keep 2 0.7", "override 2"], {"2": 0.7, "1": 0.86}),
        # Of other gate rows only the best is scored again, and nothing that is on record of it counts.
        (["gate 1 0.95 old", "gate 2 0.94 old", "gate 3 0.86", "gate 4 0.85"], {"4": 0.85, "3": 0.86, "1": None}),
        (["override 1"], {"1": None}),
        ([], {}),
    ],
)
def test_the_mark_may_be_held_by_the_champion_and_the_best_of_its_line(steps, candidates):
    assert mark_candidates(entries(*steps), "rows") == candidates
