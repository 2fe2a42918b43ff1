"""A handle -> its tables, checked, measured and reported."""

from pathlib import Path

import numpy as np

from configs.schema import ValidationConfig
from tasks.handles import PaddedReviews, Reviews, ValidationReport
from tasks.validation.checking import check_tables
from tasks.validation.padded_suite import build_padded_suite
from tasks.validation.padded_table import SPLITS, measure_padded, read_padded_table
from tasks.validation.report import write_report
from tasks.validation.reviews_suite import build_reviews_suite
from tasks.validation.reviews_table import measure_reviews, read_reviews_table

DATA_DOCS = "data_docs"


def check_reviews(folder: Path, reviews: Reviews, validation: ValidationConfig, *, docs: bool = True) -> ValidationReport:
    """Check raw reviews against the suite and write the report, Data Docs included unless `docs` is False, into the folder.

    Raises:
        DataError: `reviews.parquet` is missing or no Parquet.
        RepriseError: an expectation of the suite was not evaluated.
    """
    table = read_reviews_table(reviews.file("reviews.parquet"), drop_leaked=validation.drop_leaked)
    checked = check_tables(build_reviews_suite(table, validation), folder / DATA_DOCS if docs else None)
    return write_report(folder, f"Reviews of {reviews.dataset}", checked, measure_reviews(table), table.excluded)


def check_padded(folder: Path, padded: PaddedReviews, *, docs: bool = True) -> ValidationReport:
    """Check padded reviews against the suite and write the report, Data Docs included unless `docs` is False, into the folder.

    Raises:
        RepriseError: an expectation of the suite was not evaluated.
    """
    table = read_padded_table(padded)
    checked = check_tables(build_padded_suite(table, padded.vocabulary_size), folder / DATA_DOCS if docs else None)
    absent = [] if table.rows.empty else [split for split in SPLITS if not (table.rows["split"] == split).any()]
    if absent:
        sentence = f"not evaluated for want of rows that fit together: the rows of {', '.join(absent)}"
        checked = checked._replace(skipped=[*checked.skipped, sentence])
    none_excluded = np.empty(0, dtype=np.int64)
    return write_report(folder, "Padded reviews", checked, measure_padded(padded, table), none_excluded)
