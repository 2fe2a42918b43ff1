"""The stages of the room: raw reviews, and padded reviews, against their suites."""

from pathlib import Path

from configs.schema import ValidationConfig
from tasks.handles import PaddedReviews, Reviews, ValidationReport
from tasks.stage import cached_stage

PARQUET_BATCHES = Path(__file__).parents[1] / "parquet_batches.py"
TEXT_DIGESTS = Path(__file__).parents[1] / "text_digests.py"


@cached_stage("validation", uses=(PARQUET_BATCHES, TEXT_DIGESTS))
def validate_reviews(folder: Path, reviews: Reviews, validation: ValidationConfig) -> ValidationReport:
    """Check raw reviews; a report that did not pass is returned, not raised, so that it can be logged first."""
    from tasks.validation.validate import check_reviews  # importing Great Expectations takes seconds

    return check_reviews(folder, reviews, validation)


@cached_stage("padding validation", uses=(PARQUET_BATCHES,))
def validate_padded(folder: Path, padded: PaddedReviews) -> ValidationReport:
    """Check padded reviews; a report that did not pass is returned, not raised, so that it can be logged first."""
    from tasks.validation.validate import check_padded

    return check_padded(folder, padded)
