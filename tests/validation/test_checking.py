"""Expectations that raise, and results that go missing."""

from pathlib import Path

import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
import pytest

from tasks.errors import RepriseError
from tasks.validation.checking import check_tables
from tasks.validation.report import write_report
from tasks.validation.rules import Rule, Table

FRAME = pd.DataFrame({"mixed": [1, "two", 3.0]})


@pytest.mark.parametrize("severity", ["critical", "warning"])
def test_an_expectation_that_raises_fails_and_says_so(tmp_path: Path, severity):
    breaking = gxe.ExpectColumnValuesToBeBetween(column="mixed", min_value=0, severity=severity)
    rules = [Rule("mixed is above 0", "mixed is below 0", breaking)]
    checked = check_tables([Table("mixed", FRAME, rules)], tmp_path / "docs")
    report = write_report(tmp_path, "Mixed", checked, {}, np.empty(0, np.int64))
    assert not report.passed
    assert report.checks == 1
    (failure,) = report.failures
    assert failure.startswith("'mixed is above 0' could not be evaluated (expect_column_values_to_be_between): ")
    assert failure.endswith("of the same type.")
    assert "could not be evaluated" in (tmp_path / "summary.html").read_text()


def test_a_result_that_goes_missing_stops_the_work(tmp_path: Path):
    twice = Rule("mixed is there", "mixed is null", gxe.ExpectColumnValuesToNotBeNull(column="mixed"))
    with pytest.raises(RepriseError, match="evaluated 1 of the 2 expectations on mixed"):
        check_tables([Table("mixed", FRAME, [twice, twice])], tmp_path / "docs")
