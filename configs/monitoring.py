"""What new reviews are compared by, and from where on they count as drifted."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from configs.schema import DataConfig, Fraction, LabelName, Location, Positive, Section, TrackingConfig

MOST_SIGNALS = 6


class DataSource(Section):
    """New reviews, with or without labels: a table, or a folder of tables or of `.txt` files, at a local path or fsspec URL.

    What is not given here is as in the data that the champion was trained on.
    """

    path: Location
    """Local path or fsspec URL of a table, or of a folder of tables or of `.txt` files."""
    text_column: str | None = None
    """Column of the texts."""
    label_column: str | None = None
    """Column of the labels, if there are any."""
    negative_labels: Annotated[list[LabelName], Field(min_length=1)] | None = None
    """Labels that count as negative."""
    positive_labels: Annotated[list[LabelName], Field(min_length=1)] | None = None
    """Labels that count as positive."""

    def as_data(self, trained_on: DataConfig) -> DataConfig:
        """Return the source as a table like the one that a model was trained on."""
        likeness = {name: getattr(trained_on, name) for name in DataSource.model_fields if name != "path"}
        return DataConfig.model_validate({"source": "table", **likeness, **self.model_dump(exclude_none=True)})


class MonitoringConfig(Section):
    """A signal alarms where a difference is both significant and large.

    Large is `stability_index`, `vocabulary_bits`, `label_balance` or `accuracy_drop`, or more.
    """

    false_alarm_rate: Fraction = 0.01
    """Rate of all signals together on reviews like the reference; each is tested at it divided by their number."""
    stability_index: Annotated[float, Field(gt=0)] = 0.1
    """Population stability index from which on length, unknown words or score differ by much."""
    vocabulary_bits: Annotated[float, Field(gt=0)] = 0.01
    """Jensen-Shannon divergence of the words, beyond that of two samples of one source."""
    label_balance: Fraction = 0.05
    """Difference of the share of positive labels."""
    accuracy_drop: Fraction = 0.02
    """Loss of accuracy."""
    min_rows: Annotated[int, Field(ge=50)] = 100
    """Fewer reviews tell nothing."""
    max_rows: Positive = 20_000
    """Of more reviews, so many are drawn by their content."""
    resamples: Positive = 999
    """Draws of the vocabulary's test."""
    confidence: Fraction = 0.95
    """Confidence of the intervals in the report."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of these draws."""

    @model_validator(mode="after")
    def _can_alarm(self) -> Self:
        if self.max_rows < self.min_rows:
            raise ValueError("max_rows must be min_rows or more")
        # The least p-value of a test by resampling is 1 / (resamples + 1).
        if self.false_alarm_rate / MOST_SIGNALS < 1 / (self.resamples + 1):
            needed = int(MOST_SIGNALS / self.false_alarm_rate)
            raise ValueError(
                f"resamples must be {needed} or more, or a false_alarm_rate of {self.false_alarm_rate:g} is never met"
            )
        return self


class MonitoringRequest(Section):
    """What a command's arguments stand for."""

    reviews: DataSource
    monitoring: MonitoringConfig = MonitoringConfig()


class Comparison(Section):
    """One comparison, whole: of the reviews and a version that was trained in an MLflow experiment."""

    reviews: DataConfig
    monitoring: MonitoringConfig
    tracking: TrackingConfig
    trained_in: str

    @property
    def experiment(self) -> str:
        """The experiment that holds the comparisons, beside that of the trainings."""
        return f"{self.trained_in}-monitoring"
