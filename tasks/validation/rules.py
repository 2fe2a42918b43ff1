"""What a suite is made of: tables, and rules that say in words what a Great Expectations expectation guards."""

from typing import Any, NamedTuple

import pandas as pd


class Rule(NamedTuple):
    """One expectation. `requires` is true of good data, `fault` is what to call the rows that break it.

    `counts_rows` marks an expectation on the mean of a 0/1 column whose ones are the rows at fault.
    """

    requires: str
    fault: str
    expectation: Any
    counts_rows: bool = False


class Table(NamedTuple):
    """A frame and the rules that it must satisfy.

    The frame's index is what sentences name a row by. `unit` is what one row of it stands for; a table of a single row
    has none, and its faults are named by their values.
    """

    name: str
    frame: pd.DataFrame
    rules: list[Rule]
    unit: str | None = "row"


class Outcome(NamedTuple):
    """What became of a rule. `found` says what was observed; `evaluated` is False where the expectation raised an error."""

    rule: Rule
    kind: str
    passed: bool
    critical: bool
    evaluated: bool
    found: str


def rows_under(frame: pd.DataFrame, expectation: Any) -> pd.DataFrame:
    """Return the rows that the expectation's row condition selects: all of them where it has none."""
    condition = getattr(expectation, "row_condition", None)
    return frame if condition is None else frame[frame[condition.column.name] == condition.parameter]


def set_aside(table: Table) -> tuple[list[Rule], dict[str, list[str]]]:
    """Part the rules that can be evaluated from those that cannot, for want of a column or of rows.

    Returns:
        The rules that can be evaluated, and by reason what the others require.
    """
    evaluable: list[Rule] = []
    reasons: dict[str, list[str]] = {}
    for rule in table.rules:
        reason = _obstacle(table.frame, rule)
        if reason is None:
            evaluable.append(rule)
        else:
            reasons.setdefault(reason, []).append(rule.requires)
    return evaluable, reasons


def _obstacle(frame: pd.DataFrame, rule: Rule) -> str | None:
    expectation = rule.expectation
    condition = getattr(expectation, "row_condition", None)
    named = [getattr(expectation, name, None) for name in ("column", "column_A", "column_B")]
    named += [*getattr(expectation, "column_list", []), condition and condition.column.name]
    if any(name is not None and name not in frame for name in named):
        return "for want of usable data"
    # A mean of no rows is no number, and a split without rows is told once, by the rule on splits.
    conditional = condition is not None or expectation.expectation_type == "expect_column_mean_to_be_between"
    if conditional and rows_under(frame, expectation).empty:
        return "for want of rows" + (f" with {condition.column.name} '{condition.parameter}'" if condition else "")
    return None
