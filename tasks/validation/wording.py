"""Great Expectations' results in words."""

from collections.abc import Iterable
from typing import Any

from tasks.validation.rules import Outcome, Rule, Table, rows_under

ROWS_NAMED = 5
VALUE_CHARACTERS = 80


def write_sentence(outcome: Outcome) -> str:
    """Return the sentence that tells of a rule that did not pass: its fault, GX's name for it, and what was found."""
    if not outcome.evaluated:
        return f"'{outcome.rule.requires}' could not be evaluated ({outcome.kind}): {outcome.found}"
    return f"{outcome.rule.fault} ({outcome.kind}): {outcome.found}"


def describe_result(table: Table, rule: Rule, result: dict[str, Any]) -> str:
    """Return what an expectation observed: a count and up to five row numbers, a share, or the values at fault."""
    if rule.counts_rows:
        return _describe_share(table, rule)
    if "missing_count" in result and "unexpected_count" not in result:
        missing = sorted(result["partial_missing_list"])  # a set's order changes from process to process
        return f"missing {_listed(missing)}" if missing else "all there"
    if "unexpected_count" in result:
        return _describe_rows(table, result)
    mismatch = result.get("details", {}).get("mismatched")
    if mismatch:
        return ", ".join(f"{'unknown' if how == 'unexpected' else how} {_listed(names)}" for how, names in mismatch.items())
    observed = result["observed_value"]
    return _listed(observed) if isinstance(observed, list) else f"{observed:.6g}"


def _describe_share(table: Table, rule: Rule) -> str:
    rows = rows_under(table.frame, rule.expectation)
    at_fault = rows.index[rows[rule.expectation.column] == 1]
    share, limit = len(at_fault) / len(rows), rule.expectation.max_value
    counted = f"{len(at_fault)} of {len(rows)} rows ({share:.3%}, limit {limit:.3%})"
    return f"{counted}, first {_listed(at_fault[:ROWS_NAMED])}" if len(at_fault) else counted


def _describe_rows(table: Table, result: dict[str, Any]) -> str:
    count, values = result["unexpected_count"], result["partial_unexpected_list"]
    if table.unit is None:
        return f"found {_listed(values)}" if count else "as required"
    counted = f"{count} {table.unit}{'' if count == 1 else 's'}"
    if not count:
        return counted
    names = [str(name) for name in result["partial_unexpected_index_list"]]
    if isinstance(values[0], list | tuple):
        names = [f"{name} ({found} in place of {expected})" for name, (found, expected) in zip(names, values, strict=True)]
    return f"{counted}, first {_listed(names)}"


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(str(value)[:VALUE_CHARACTERS] for value in values)
