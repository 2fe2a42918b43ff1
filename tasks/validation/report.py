"""What was checked and measured -> the files and the handle of a validation."""

import hashlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.handles import ValidationReport
from tasks.validation.checking import Checked
from tasks.validation.rules import Outcome
from tasks.validation.summary import write_summary
from tasks.validation.wording import write_sentence


def write_report(
    folder: Path, title: str, checked: Checked, measured: dict[str, float], excluded: NDArray[np.int64]
) -> ValidationReport:
    """Write `result.json`, `summary.html` and `excluded_rows.npy` into the folder.

    Args:
        folder: the folder to write to.
        title: what was checked, for the head of the summary.
        checked: the outcomes.
        measured: finite figures by name.
        excluded: int64 numbers of the rows to leave out of test.

    Returns:
        The report; its `sha256` covers the verdict and what was measured, and so repeats from run to run.
    """
    faults = [outcome for outcome in checked.outcomes if not outcome.passed]
    # A fault above its failing limit is also above its warning limit: it is told once.
    failed = {outcome.rule.fault for outcome in faults if outcome.critical}
    failures = [write_sentence(outcome) for outcome in faults if outcome.critical or not outcome.evaluated]
    warnings = [write_sentence(outcome) for outcome in faults if _is_warning(outcome) and outcome.rule.fault not in failed]
    warnings += checked.skipped
    verdict = {"checks": len(checked.outcomes), "failures": failures, "warnings": warnings, "measured": measured}
    rows = excluded.tolist()
    report = ValidationReport(
        path=str(folder),
        sha256=hashlib.sha256(json.dumps([verdict, rows], sort_keys=True).encode()).hexdigest(),
        passed=not failures,
        checks=len(checked.outcomes),
        failures=tuple(failures),
        warnings=tuple(warnings),
        measured=measured,
        excluded_rows=len(rows),
    )
    np.save(folder / "excluded_rows.npy", excluded)
    result = {"great_expectations": checked.version, "passed": report.passed, **verdict, "results": checked.results}
    (folder / "result.json").write_text(json.dumps(result, indent=1, allow_nan=False))
    write_summary(folder / "summary.html", title, report, checked)
    return report


def _is_warning(outcome: Outcome) -> bool:
    return outcome.evaluated and not outcome.critical
