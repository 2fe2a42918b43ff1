"""The suite for raw reviews."""

from great_expectations import expectations as gxe
from great_expectations.expectations.row_conditions import Column

from configs.schema import Threshold, ValidationConfig
from tasks.validation.reviews_table import BLANK, COLUMN_TYPES, SPLITS, ReviewsTable
from tasks.validation.rules import Rule, Table

CLASSES = [0, 1]


def build_reviews_suite(table: ReviewsTable, validation: ValidationConfig) -> list[Table]:
    """Return the tables of raw reviews with their rules.

    `min_rows` is a floor for the train split; the other splits must hold both classes.
    """
    rows = [*_text_rules(validation), *_label_and_split_rules()]
    for split in SPLITS:
        rows += _rules_of_split(split, validation)
    rows += _repetition_rules(validation)
    return [Table("columns", table.columns, _column_rules(), unit=None), Table("reviews", table.rows, rows)]


def _column_rules() -> list[Rule]:
    return [
        Rule(
            "the columns are text, label and split",
            "columns are missing or unknown",
            gxe.ExpectTableColumnsToMatchSet(column_set=list(COLUMN_TYPES), exact_match=True),
        ),
        *(
            Rule(
                f"column {name} is of type {types[0]}",
                f"column {name} has another type than {types[0]}",
                gxe.ExpectColumnValuesToBeInSet(column=name, value_set=types),
            )
            for name, types in COLUMN_TYPES.items()
        ),
    ]


def _text_rules(validation: ValidationConfig) -> list[Rule]:
    low, high = validation.min_characters, validation.max_characters
    return [
        Rule("every row has a text", "text is null", gxe.ExpectColumnValuesToNotBeNull(column="text")),
        Rule("no text is blank", "text is blank", gxe.ExpectColumnValuesToNotMatchRegex(column="text", regex=BLANK)),
        Rule(
            f"texts have {low} to {high} characters",
            f"text length is not {low} to {high} characters",
            gxe.ExpectColumnValuesToBeBetween(column="characters", min_value=low, max_value=high),
        ),
    ]


# Equality of sets, in two halves: nothing beside the set (which names the rows), and all of the set. GX 1.24's own
# ExpectColumnDistinctValuesToEqualSet names no rows and breaks the rendering of its Data Docs where a value is too many.
def _label_and_split_rules() -> list[Rule]:
    return [
        Rule("every row has a label", "label is null", gxe.ExpectColumnValuesToNotBeNull(column="label")),
        Rule(
            "labels are 0 or 1",
            "label is neither 0 nor 1",
            gxe.ExpectColumnValuesToBeInSet(column="label", value_set=CLASSES),
        ),
        Rule("every row has a split", "split is null", gxe.ExpectColumnValuesToNotBeNull(column="split")),
        Rule(
            "splits are train, validation or test",
            "split is none of train, validation, test",
            gxe.ExpectColumnValuesToBeInSet(column="split", value_set=list(SPLITS)),
        ),
        Rule(
            "each split has rows",
            "a split has no rows",
            gxe.ExpectColumnDistinctValuesToContainSet(column="role", value_set=list(SPLITS)),
        ),
    ]


def _rules_of_split(split: str, validation: ValidationConfig) -> list[Rule]:
    only = Column("role") == split
    low, high = validation.min_positive_share, validation.max_positive_share
    rules = [
        Rule(
            f"{split} holds both classes",
            f"{split} lacks a class",
            gxe.ExpectColumnDistinctValuesToContainSet(column="label", value_set=CLASSES, row_condition=only),
        ),
        Rule(
            f"the positive share of {split} is {low:g} to {high:g}",
            f"the positive share of {split} is not {low:g} to {high:g}",
            gxe.ExpectColumnMeanToBeBetween(column="label", min_value=low, max_value=high, row_condition=only),
        ),
    ]
    if split == "train":
        enough = gxe.ExpectTableRowCountToBeBetween(min_value=validation.min_rows, row_condition=only)
        rules.insert(0, Rule(f"train has at least {validation.min_rows} rows", "train has too few rows", enough))
    return rules


def _repetition_rules(validation: ValidationConfig) -> list[Rule]:
    rules = []
    for part in ("train", "test"):
        where = "train and validation" if part == "train" else "test"
        rules += _limits("repeats", f"rows of {where} that repeat an earlier one", validation.duplicates, part)
    leaked = "test rows that also stand in train or validation"
    if validation.drop_leaked:
        rules.append(_limit("leaked", f"{leaked}, dropped from test", 0.0, "test", severity="warning"))
    else:
        rules += _limits("leaked", leaked, validation.leakage, "test")
    return rules + _limits("conflicting", "rows whose text stands under both labels", validation.conflicts, None)


def _limits(column: str, fault: str, threshold: Threshold, part: str | None) -> list[Rule]:
    return [
        _limit(column, fault, threshold.fail_above, part, severity="critical"),
        _limit(column, fault, threshold.warn_above, part, severity="warning"),
    ]


def _limit(column: str, fault: str, share: float, part: str | None, *, severity: str) -> Rule:
    # A mean of zeros and ones is compared to the share itself; `mostly` would compare to 1 - share, which rounds.
    only = None if part is None else Column("part") == part
    expectation = gxe.ExpectColumnMeanToBeBetween(column=column, max_value=share, row_condition=only, severity=severity)
    return Rule(f"{fault}: at most {share:.4g} of them all", fault, expectation, counts_rows=True)
