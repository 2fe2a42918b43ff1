import pytest

from tasks.errors import ValidationFailed
from tasks.handles import ValidationReport
from tasks.validation.verdict import require_passed


def _report(*failures: str) -> ValidationReport:
    return ValidationReport(
        path="/reports/1",
        sha256="0",
        passed=not failures,
        checks=9,
        failures=failures,
        warnings=("a warning",),
        measured={},
        excluded_rows=0,
    )


def test_a_report_that_passed_goes_by_with_its_warnings_told(caplog):
    require_passed(_report())
    assert caplog.messages == ["validation warns: a warning"]


@pytest.mark.parametrize(
    ("failures", "message"),
    [
        (["text is blank: 1 row"], "validation failed: text is blank: 1 row. See /reports/1/summary.html"),
        (["a", "b", "c", "d", "e"], "validation failed: a; b; c; and 2 more. See /reports/1/summary.html"),
    ],
)
def test_failures_are_raised_in_one_line(failures, message):
    with pytest.raises(ValidationFailed) as raised:
        require_passed(_report(*failures))
    assert str(raised.value) == message
