"""The suite for padded reviews."""

from great_expectations import expectations as gxe

from tasks.validation.padded_table import PaddedTable
from tasks.validation.rules import Rule, Table


def build_padded_suite(table: PaddedTable, vocabulary_size: int) -> list[Table]:
    """Return the tables of padded reviews with their rules."""
    files = [
        Rule(
            "every array has the shape that was announced",
            "an array has another shape than announced",
            gxe.ExpectColumnPairValuesToBeEqual(column_A="shape", column_B="expected_shape"),
        ),
        Rule(
            "every array has its type",
            "an array has another type",
            gxe.ExpectColumnPairValuesToBeEqual(column_A="dtype", column_B="expected_dtype"),
        ),
        Rule(
            "every split has rows",
            "a split has no rows",
            gxe.ExpectColumnValuesToBeBetween(column="expected_rows", min_value=1),
        ),
    ]
    rows = [
        Rule("no id is below 0", "id is below 0", gxe.ExpectColumnValuesToBeBetween(column="lowest_id", min_value=0)),
        Rule(
            f"ids are below the vocabulary's {vocabulary_size}",
            f"id is not below the vocabulary's {vocabulary_size}",
            gxe.ExpectColumnValuesToBeBetween(column="highest_id", max_value=vocabulary_size - 1),
        ),
        Rule(
            "every row holds an id that is not padding",
            "row is all padding",
            gxe.ExpectColumnValuesToBeBetween(column="words", min_value=1),
        ),
        Rule(
            "every length is at least 1", "length is below 1", gxe.ExpectColumnValuesToBeBetween(column="length", min_value=1)
        ),
        Rule(
            "labels are 0 or 1", "label is neither 0 nor 1", gxe.ExpectColumnValuesToBeInSet(column="label", value_set=[0, 1])
        ),
        Rule("row numbers count from 0", "row number is below 0", gxe.ExpectColumnValuesToBeBetween(column="row", min_value=0)),
        Rule(
            "no row stands twice in a split",
            "row stands twice in a split",
            gxe.ExpectCompoundColumnsToBeUnique(column_list=["split", "row"]),
        ),
        Rule(
            "no row stands in two splits",
            "row stands in two splits",
            gxe.ExpectColumnValuesToBeBetween(column="splits", max_value=1),
        ),
    ]
    return [Table("arrays", table.files, files, unit="file"), Table("padded", table.rows, rows)]
