"""Whether what was found lets the run go on."""

import logging

from tasks.errors import ValidationFailed
from tasks.handles import ValidationReport

FAILURES_NAMED = 3
logger = logging.getLogger("reprise.validation")


def require_passed(report: ValidationReport) -> None:
    """Let a report that passed go by, with its warnings told.

    Raises:
        ValidationFailed: the report holds failures; the message names the first three and where to read the rest.
    """
    if report.passed:
        for warning in report.warnings:
            logger.warning("validation warns: %s", warning)
        return
    named = "; ".join(report.failures[:FAILURES_NAMED])
    others = len(report.failures) - FAILURES_NAMED
    more = f"; and {others} more" if others > 0 else ""
    raise ValidationFailed(f"validation failed: {named}{more}. See {report.file('summary.html')}")
