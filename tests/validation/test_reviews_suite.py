"""Every rule on raw reviews, with the defect that makes it fail and no other."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import DataError
from tasks.validation import reviews_table
from tests.validation.conftest import SCHEMA

NOTHING_FAILS = {"fail_above": 1.0, "warn_above": 1.0}


def test_clean_reviews_pass_without_a_warning(clean, check):
    report = check(clean)
    assert report.passed
    assert report.failures == report.warnings == ()
    assert report.checks == 27
    assert report.measured["rows"] == 200
    assert report.measured["rows_validation"] == 40
    assert report.measured["positive_share_test"] == 0.5
    assert report.measured["min_characters"] == len("review 0 of a film")
    assert report.measured["leaked_test_rows"] == report.measured["conflicting_rows"] == 0


@pytest.mark.fault("text hostile")
@pytest.mark.parametrize(
    ("rows", "column", "value", "failure"),
    [
        ([7, 9], "text", None, "text is null (expect_column_values_to_not_be_null): 2 rows, first 7, 9"),
        ([7], "text", "", "text is blank (expect_column_values_to_not_match_regex): 1 row, first 7"),
        (
            [17, 40, 99, 100, 150, 199],
            "text",
            " \t\n\u00a0",
            "text is blank (expect_column_values_to_not_match_regex): 6 rows, first 17, 40, 99, 100, 150",
        ),
        ([3], "text", "\ufeff\u200b", "text is blank (expect_column_values_to_not_match_regex): 1 row, first 3"),
        ([5], "text", "x", "text length is not 5 to 90 characters (expect_column_values_to_be_between): 1 row, first 5"),
        ([6], "text", "x" * 91, "text length is not 5 to 90 characters (expect_column_values_to_be_between): 1 row, first 6"),
        ([8], "label", None, "label is null (expect_column_values_to_not_be_null): 1 row, first 8"),
        ([8, 9], "label", 2, "label is neither 0 nor 1 (expect_column_values_to_be_in_set): 2 rows, first 8, 9"),
        ([8], "split", None, "split is null (expect_column_values_to_not_be_null): 1 row, first 8"),
        (
            [8, 9],
            "split",
            "dev",
            "split is none of train, validation, test (expect_column_values_to_be_in_set): 2 rows, first 8, 9",
        ),
    ],
)
def test_a_faulty_value_fails_its_rule_alone(clean, check, rows, column, value, failure):
    clean[column] = clean[column].astype(object)
    clean.loc[rows, column] = value
    report = check(clean, min_characters=5, max_characters=90)
    assert report.failures == (failure,)
    assert not report.passed


@pytest.mark.fault("table hostile")
@pytest.mark.parametrize(("split", "missing"), [("train", 0), ("validation", 1), ("test", 0)])
def test_a_split_without_one_class_fails(clean, check, split, missing):
    clean.loc[clean["split"] == split, "label"] = 1 - missing
    report = check(clean, min_positive_share=0.0, max_positive_share=1.0)
    assert report.failures == (f"{split} lacks a class (expect_column_distinct_values_to_contain_set): missing {missing}",)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_out_of_balance_fails(clean, check, split):
    rows = clean.index[clean["split"] == split]
    clean.loc[rows[: len(rows) * 9 // 10], "label"] = 1
    report = check(clean)
    fault = f"the positive share of {split} is not 0.4 to 0.6 (expect_column_mean_to_be_between): 0.95"
    assert report.failures == (fault,)


def test_a_missing_split_fails_once_and_its_own_rules_are_named_as_not_evaluated(clean, check):
    report = check(clean[clean["split"] != "test"])
    assert report.failures == ("a split has no rows (expect_column_distinct_values_to_contain_set): missing test",)
    assert any("not evaluated for want of rows with role 'test': test holds both classes" in line for line in report.warnings)


@pytest.mark.fault("table hostile")
def test_too_few_train_rows_fail(clean, check):
    report = check(clean, min_rows=121)
    assert report.failures == ("train has too few rows (expect_table_row_count_to_be_between): 120",)


@pytest.mark.fault("table hostile")
def test_ten_rows_fail(clean, check):
    ten = clean.iloc[[0, 1, 2, 3, 4, 5, 120, 121, 160, 161]]
    assert check(ten).failures == ("train has too few rows (expect_table_row_count_to_be_between): 6",)


@pytest.mark.fault("table hostile")
def test_one_text_in_all_rows_fails_as_repeated_leaked_and_conflicting(clean, check):
    failures = "; ".join(check(clean.assign(text="one and the same")).failures)
    for words in ("repeat", "stand", "label"):
        assert words in failures, failures


@pytest.mark.fault("table hostile")
def test_no_rows_at_all_fail(clean, check):
    report = check(clean[:0])
    assert report.failures == (
        "a split has no rows (expect_column_distinct_values_to_contain_set): missing test, train, validation",
    )
    assert "mean_characters" not in report.measured


@pytest.mark.parametrize("characters", [10, 21, 500])
@pytest.mark.parametrize("blank", [" ", "\ufeff", "\u200b", "\n"])
def test_a_text_that_is_seen_late_is_not_blank(clean, check, characters, blank):
    clean.loc[4, "text"] = blank * characters + "good"
    assert check(clean).passed


class TestRowGroups:
    """Reviews that are read in many batches from many row groups."""

    @pytest.fixture
    def check_grouped(self, write, check_again, monkeypatch):
        def check_grouped(frame, **validation):
            reviews = write(frame)
            path = reviews.file("reviews.parquet")
            whole = check_again(reviews, **validation)
            pq.write_table(pq.read_table(path), path, row_group_size=7)
            monkeypatch.setattr(reviews_table, "BATCH_ROWS", 3)
            return whole, check_again(reviews, **validation)

        return check_grouped

    def test_they_give_the_same_report_as_one(self, clean, check_grouped):
        clean.loc[[1, 120, 190], "text"] = clean.loc[0, "text"]
        clean.loc[[60, 199], "text"] = None
        clean.loc[[17, 18, 19], "text"] = "  "
        whole, grouped = check_grouped(clean, max_characters=18)
        assert whole.sha256 == grouped.sha256
        assert whole.model_copy(update={"path": ""}) == grouped.model_copy(update={"path": ""})

    def test_what_repeats_across_them_is_found_and_named_by_row(self, clean, check_grouped):
        clean.loc[[100, 150, 180], "text"] = clean.loc[2, "text"]
        clean.loc[101, "text"] = clean.loc[2, "text"]
        _, report = check_grouped(clean, duplicates=NOTHING_FAILS, conflicts=NOTHING_FAILS, drop_leaked=True)
        assert report.measured["duplicates_train"] == 3
        assert report.measured["leaked_test_rows"] == 1
        assert report.measured["conflicting_rows"] == 5
        assert _excluded(report).tolist() == [180]

    def test_faulty_rows_are_counted_over_the_whole_file(self, clean, check_grouped):
        clean.loc[[17, 40, 99, 100, 150, 199], "text"] = "\t"
        _, report = check_grouped(clean)
        assert report.failures == (
            "text is blank (expect_column_values_to_not_match_regex): 6 rows, first 17, 40, 99, 100, 150",
        )


class TestColumns:
    def test_an_extra_column_fails_and_the_rest_is_still_evaluated(self, clean, check):
        clean.loc[3, "text"] = " "
        report = check(clean.assign(rating=9), schema=None, max_positive_share=0.9)
        assert report.failures[0] == "columns are missing or unknown (expect_table_columns_to_match_set): unknown rating"
        assert any(failure.startswith("text is blank") for failure in report.failures)

    @pytest.mark.parametrize("column", ["text", "label", "split"])
    def test_a_missing_column_fails_and_what_needs_it_is_named(self, clean, check, column):
        report = check(clean.drop(columns=column), schema=pa.schema([f for f in SCHEMA if f.name != column]))
        assert report.failures == (f"columns are missing or unknown (expect_table_columns_to_match_set): missing {column}",)
        (skipped,) = report.warnings
        assert skipped.startswith("not evaluated for want of usable data: ")
        assert f"every row has a {column}" in skipped

    @pytest.mark.parametrize(("column", "kind"), [("text", pa.binary()), ("label", pa.int64()), ("split", pa.large_binary())])
    def test_another_type_fails_and_what_needs_it_is_named(self, clean, check, column, kind):
        if kind != pa.int64():
            clean[column] = clean[column].astype(object).map(str.encode)
        schema = pa.schema([(field.name, kind if field.name == column else field.type) for field in SCHEMA])
        report = check(clean, schema=schema)
        (failure,) = report.failures
        assert failure.startswith(f"column {column} has another type than")
        assert failure.endswith(f"(expect_column_values_to_be_in_set): found {kind}")
        assert f"every row has a {column}" in report.warnings[0]

    def test_a_column_that_stands_twice_fails(self, clean, check_again, write):
        twice = pa.schema([*SCHEMA, ("label", pa.int8())])
        columns = [clean["text"], clean["label"], clean["split"], clean["label"]]
        table = pa.table([pa.array(c, f.type) for c, f in zip(columns, twice, strict=True)], schema=twice)
        reviews = write(clean)
        pq.write_table(table, reviews.file("reviews.parquet"))
        report = check_again(reviews)
        assert report.failures == (
            "column label has another type than int8 (expect_column_values_to_be_in_set): found int8 and int8",
        )

    def test_texts_with_64_bit_offsets_pass(self, clean, check):
        schema = pa.schema([("text", pa.large_string()), ("label", pa.int8()), ("split", pa.large_string())])
        assert check(clean, schema=schema).passed


class TestRepetitions:
    def test_duplicates_in_train_and_validation_count_together(self, clean, check):
        clean.loc[120, "text"] = clean.loc[0, "text"]
        clean.loc[1, "label"] = 0
        clean.loc[1, "text"] = clean.loc[0, "text"]
        report = check(clean, duplicates={"warn_above": 0.0, "fail_above": 0.5})
        assert report.measured["duplicates_train"] == 2
        assert report.measured["duplicates_test"] == report.measured["conflicting_rows"] == 0
        assert report.warnings == (
            "rows of train and validation that repeat an earlier one (expect_column_mean_to_be_between): "
            "2 of 160 rows (1.250%, limit 0.000%), first 1, 120",
        )
        assert report.passed

    @pytest.mark.parametrize(("warn", "fail", "warns", "fails"), [(0.05, 0.05, 0, 0), (0.04, 0.05, 1, 0), (0.04, 0.049, 0, 1)])
    def test_a_share_must_exceed_its_threshold_to_warn_or_to_fail(self, clean, check, warn, fail, warns, fails):
        clean.loc[[162, 164], "text"] = clean.loc[160, "text"]
        report = check(clean, duplicates={"warn_above": warn, "fail_above": fail})
        assert report.measured["duplicates_test"] == 2
        assert (len(report.warnings), len(report.failures)) == (warns, fails)
        assert report.passed is (fails == 0)
        assert all("first 162, 164" in line for line in report.warnings + report.failures)

    def test_leaked_rows_warn_fail_or_are_dropped_by_config(self, clean, write, check_again):
        clean.loc[[180, 190], "text"] = clean.loc[[0, 130], "text"].to_numpy()
        reviews = write(clean)
        lenient = check_again(reviews, leakage={"warn_above": 0.0, "fail_above": 0.5})
        strict = check_again(reviews, leakage={"warn_above": 0.0, "fail_above": 0.01})
        dropped = check_again(reviews, leakage={"warn_above": 0.0, "fail_above": 0.01}, drop_leaked=True)
        told = "(expect_column_mean_to_be_between): 2 of 40 rows (5.000%, limit"
        assert lenient.passed
        assert told in lenient.warnings[0]
        assert lenient.warnings[0].endswith("first 180, 190")
        assert not strict.passed
        assert told in strict.failures[0]
        assert strict.warnings == ()
        assert dropped.passed
        assert dropped.warnings[0].startswith("test rows that also stand in train or validation, dropped from test")
        assert told in dropped.warnings[0]
        assert [_excluded(report).tolist() for report in (lenient, strict, dropped)] == [[], [], [180, 190]]
        assert _excluded(lenient).dtype == _excluded(dropped).dtype == np.int64
        assert dropped.excluded_rows == 2
        assert dropped.measured["rows_test"] == 38
        assert len({lenient.sha256, strict.sha256, dropped.sha256}) == 3

    def test_dropping_every_test_row_fails(self, clean, check):
        clean.loc[160:, "text"] = clean.loc[:39, "text"].to_numpy()
        report = check(clean, drop_leaked=True)
        assert report.failures == ("a split has no rows (expect_column_distinct_values_to_contain_set): missing test",)
        assert report.excluded_rows == 40

    def test_dropping_a_whole_class_of_test_fails(self, clean, check):
        clean.loc[161::2, "text"] = clean.loc[1:39:2, "text"].to_numpy()
        report = check(clean, drop_leaked=True, min_positive_share=0.0)
        assert report.failures == ("test lacks a class (expect_column_distinct_values_to_contain_set): missing 1",)

    @pytest.mark.parametrize(("fail", "passed"), [(0.01, True), (0.009, False)])
    def test_a_text_under_two_labels_is_a_conflict(self, clean, check, fail, passed):
        clean.loc[51, "text"] = clean.loc[30, "text"]
        report = check(clean, duplicates=NOTHING_FAILS, conflicts={"warn_above": 0.0, "fail_above": fail})
        (line,) = report.warnings + report.failures
        assert line.startswith("rows whose text stands under both labels (expect_column_mean_to_be_between): 2 of 200 rows")
        assert line.endswith("first 30, 51")
        assert report.passed is passed
        assert report.measured["conflicting_rows"] == 2

    def test_blank_and_null_texts_repeat_nothing(self, clean, check):
        clean.loc[[1, 2], "text"] = "  "
        clean.loc[[3, 4, 170], "text"] = None
        report = check(clean)
        assert len(report.failures) == 2
        assert report.measured["duplicates_train"] == report.measured["leaked_test_rows"] == 0


def _excluded(report):
    return np.load(Path(report.path) / "excluded_rows.npy")


@pytest.mark.parametrize("content", [None, b"not a parquet file"])
def test_a_file_that_is_no_parquet_is_told_by_its_name(clean, write, check_again, content):
    reviews = write(clean)
    path = reviews.file("reviews.parquet")
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=r"reviews\.parquet"):
        check_again(reviews)
