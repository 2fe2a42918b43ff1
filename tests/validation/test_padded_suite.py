"""Every rule on padded reviews, with the defect that makes it fail and no other."""

import numpy as np
import pytest

from tasks.validation import padded_table
from tests.validation.conftest import VOCABULARY

BETWEEN = "(expect_column_values_to_be_between)"
PAIR = "(expect_column_pair_values_to_be_equal)"


def test_clean_arrays_pass_without_a_warning(arrays, check_arrays):
    report = check_arrays(arrays)
    assert report.passed
    assert report.failures == report.warnings == ()
    assert report.checks == 11
    assert report.measured["rows"] == 200
    assert report.measured["highest_id"] < VOCABULARY


@pytest.mark.parametrize(
    ("file", "where", "value", "failure"),
    [
        ("ids_train", (9, 7), VOCABULARY, f"id is not below the vocabulary's {VOCABULARY} {BETWEEN}: 1 row, first 9"),
        ("ids_test", [0, 3], 0, f"row is all padding {BETWEEN}: 2 rows, first 160, 163"),
        ("lengths_validation", 1, 0, f"length is below 1 {BETWEEN}: 1 row, first 121"),
        ("labels_test", 2, 2, "label is neither 0 nor 1 (expect_column_values_to_be_in_set): 1 row, first 162"),
        ("rows_train", 4, -1, f"row number is below 0 {BETWEEN}: 1 row, first -1"),
        (
            "rows_train",
            4,
            5,
            "row stands twice in a split (expect_compound_columns_to_be_unique): 2 rows, first 5, 5",
        ),
        ("rows_test", 4, 5, f"row stands in two splits {BETWEEN}: 2 rows, first 5, 5"),
    ],
)
def test_a_faulty_value_fails_its_rule_alone(arrays, check_arrays, file, where, value, failure):
    arrays[file][where] = value
    report = check_arrays(arrays)
    assert report.failures == (failure,)
    assert not report.passed


def test_many_blocks_of_rows_are_told_as_one(arrays, check_arrays, monkeypatch):
    monkeypatch.setattr(padded_table, "BLOCK_ROWS", 7)
    arrays["ids_train"][100, 7] = VOCABULARY
    arrays["ids_test"] = np.asfortranarray(arrays["ids_test"])
    arrays["ids_test"][39] = 0
    assert check_arrays(arrays).failures == (
        f"id is not below the vocabulary's {VOCABULARY} {BETWEEN}: 1 row, first 100",
        f"row is all padding {BETWEEN}: 1 row, first 199",
    )


def test_a_negative_id_fails_beside_its_type(arrays, check_arrays):
    arrays["ids_train"] = arrays["ids_train"].astype(np.int32)
    arrays["ids_train"][3, 3] = -1
    report = check_arrays(arrays)
    assert report.failures == (
        f"an array has another type {PAIR}: 1 file, first ids_train.npy (int32 in place of uint16)",
        f"id is below 0 {BETWEEN}: 1 row, first 3",
    )


@pytest.mark.parametrize("kind", ["ids", "lengths", "labels", "rows"])
def test_a_shape_that_does_not_fit_fails_and_the_split_is_named_as_not_evaluated(arrays, check_arrays, kind):
    arrays[f"{kind}_test"] = arrays[f"{kind}_test"][:-1]
    report = check_arrays(arrays)
    (failure,) = report.failures
    assert failure.startswith(f"an array has another shape than announced {PAIR}: 1 file, first {kind}_test.npy ((39,")
    assert report.warnings == ("not evaluated for want of rows that fit together: the rows of test",)
    assert report.measured["rows"] == 160


def test_a_width_other_than_maxlen_fails(arrays, check_arrays):
    arrays["ids_train"] = arrays["ids_train"][:, 1:]
    report = check_arrays(arrays)
    (failure,) = report.failures
    assert failure.endswith("first ids_train.npy ((120, 7) in place of (120, 8))")


@pytest.mark.parametrize("kind", ["lengths", "labels", "rows"])
def test_another_type_fails_alone_where_its_values_are_whole_numbers(arrays, check_arrays, kind):
    arrays[f"{kind}_validation"] = arrays[f"{kind}_validation"].astype(np.int16)
    report = check_arrays(arrays)
    (failure,) = report.failures
    assert failure.startswith(f"an array has another type {PAIR}: 1 file, first {kind}_validation.npy (int16 in place of")
    assert report.warnings == ()


def test_an_absent_file_and_a_pickled_one_fail_by_name(arrays, check_arrays):
    del arrays["labels_train"]
    arrays["lengths_test"] = arrays["lengths_test"].astype(object)
    report = check_arrays(arrays)
    assert "labels_train.npy (absent in place of (120,))" in report.failures[0]
    assert "lengths_test.npy (unreadable in place of (40,))" in report.failures[0]


def test_what_n_grams_say_of_each_row_is_checked_where_the_network_reads_it(arrays, check_arrays):
    for split, count in {"train": 120, "validation": 40, "test": 40}.items():
        arrays[f"log_ratios_{split}"] = np.zeros((count, 8, 3), np.float16)
        arrays[f"logits_{split}"] = np.zeros(count, np.float32)
    arrays["log_ratios_test"] = arrays["log_ratios_test"][:, :, :2]
    arrays["logits_train"] = arrays["logits_train"].astype(np.float64)
    report = check_arrays(arrays, longest_ngram=3)
    assert report.failures == (
        f"an array has another shape than announced {PAIR}: 1 file, "
        "first log_ratios_test.npy ((40, 8, 2) in place of (40, 8, 3))",
        f"an array has another type {PAIR}: 1 file, first logits_train.npy (float64 in place of float32)",
    )


def test_no_files_at_all_fail(check_arrays):
    report = check_arrays({})
    assert report.failures[0].startswith(
        f"an array has another shape than announced {PAIR}: 12 files, first ids_train.npy (absent"
    )
    assert any(line.startswith("not evaluated for want of usable data: no id is below 0") for line in report.warnings)
