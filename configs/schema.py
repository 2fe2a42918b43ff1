"""The one schema of a training configuration: frozen, strict, and closed to unknown keys."""

import hashlib
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


def _refuse_secrets(path: str) -> str:
    if re.search(r"://[^/@\s]*@", path) or re.match(r"https?://[^#]*\?", path):
        raise ValueError(
            "a user, password or query in a URL would be recorded with the run: give credentials by the environment, "
            "or download the file first"
        )
    return path


Location = Annotated[str, AfterValidator(_refuse_secrets)]
# YAML reads an unquoted 0 as a number, and the commonest labels are 0 and 1.
LabelName = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)]
Metric = Literal["accuracy", "precision", "recall", "f1", "roc_auc", "average_precision"]


class Section(BaseModel):
    """Base of every section: values are immutable, of the declared type, finite, and known by name."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    def digest(self) -> str:
        """Return the sha256 (hex) of the section's canonical JSON."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class DataConfig(Section):
    """Where the labelled reviews come from and how they are split.

    `path` and `test_path` are local paths or fsspec URLs, without credentials. A table with `split_column` names each row's
    split itself; without it, and without `test_path`, `test_fraction` of its rows become test, stratified by label.
    """

    source: Literal["imdb", "npz", "folder", "table", "sample"]
    path: Location | None = None
    test_path: Location | None = None
    word_index: Location | None = None
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")] | None = None
    text_column: str = "text"
    label_column: str = "label"
    split_column: str | None = None
    negative_labels: Annotated[list[LabelName], Field(min_length=1)] = ["0", "neg", "negative"]
    positive_labels: Annotated[list[LabelName], Field(min_length=1)] = ["1", "pos", "positive"]
    test_fraction: Fraction = 0.2
    validation_fraction: Fraction = 0.2
    split_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @model_validator(mode="after")
    def _source_and_path_agree(self) -> Self:
        if self.source in ("npz", "folder", "table") and self.path is None:
            raise ValueError(f"source '{self.source}' needs data.path")
        if self.source in ("imdb", "sample") and self.path is not None:
            raise ValueError(f"source '{self.source}' takes no data.path (use source npz, folder or table for your own files)")
        if self.test_path is not None and self.source != "table":
            raise ValueError("data.test_path belongs to source 'table' alone")
        if self.word_index is not None and self.source != "npz":
            raise ValueError("data.word_index belongs to source 'npz' alone")
        if self.split_column is not None and (self.source != "table" or self.test_path is not None):
            raise ValueError("data.split_column belongs to source 'table' without data.test_path")
        both = set(self.negative_labels) & set(self.positive_labels)
        if both:
            raise ValueError(f"{sorted(both)} stand in both negative_labels and positive_labels")
        return self

    @property
    def dataset(self) -> str:
        """The dataset's name: `name` where given, else the source's or the path's own."""
        if self.name is not None:
            return self.name
        if self.path is None:
            return self.source
        stem = self.path.rstrip("/").rsplit("/", 1)[-1].split(".", 1)[0].lower()
        return re.sub(r"[^a-z0-9]+", "-", stem).strip("-") or "reviews"


class Threshold(Section):
    """Shares of the rows above which a measured fault warns, or fails the run."""

    warn_above: Share
    fail_above: Share


class ValidationConfig(Section):
    """What raw reviews must satisfy before anything is trained on them."""

    min_rows: Positive = 100
    min_positive_share: Share = 0.4
    max_positive_share: Share = 0.6
    min_characters: Positive = 1
    max_characters: Positive = 100_000
    duplicates: Threshold = Threshold(warn_above=0.01, fail_above=0.05)
    leakage: Threshold = Threshold(warn_above=0.0, fail_above=0.01)
    conflicts: Threshold = Threshold(warn_above=0.0, fail_above=0.001)
    drop_leaked: bool = False


class PaddingConfig(Section):
    """How texts become rows of ids: ids 0 padding, 1 start, 2 out of vocabulary, words from 3 + rank.

    `vocabulary` is `given` (the source's own word index), `fitted` (on the train split) or `auto`: given where there is one.
    """

    vocabulary_size: Annotated[int, Field(ge=4, le=65_536)] = 5000
    maxlen: Positive = 300
    padding: Literal["pre", "post"] = "pre"
    truncating: Literal["pre", "post"] = "pre"
    vocabulary: Literal["auto", "given", "fitted"] = "auto"


class ModelConfig(Section):
    """Embedding -> LSTM -> Dense(1, sigmoid). `mask_padding` keeps the LSTM from reading padding."""

    embedding_dimension: Positive = 15
    lstm_units: Positive = 10
    mask_padding: bool = False


class EarlyStopping(Section):
    """Stop after `patience` epochs in which the monitored value did not get better by `min_delta`."""

    monitor: Literal["val_loss", "val_accuracy"] = "val_loss"
    patience: Positive = 2
    min_delta: Annotated[float, Field(ge=0)] = 0.0


class TrainingConfig(Section):
    """Adam on binary cross-entropy. `verbosity`: 0 silent, 1 a progress bar per epoch, 2 a line per epoch.

    `bucketing` puts reviews of similar length into a batch and leaves out what padding they share. `shards` is the number of
    pieces of a batch that run side by side; another number gives other last bits of the weights. `deterministic` has
    TensorFlow refuse what would not repeat bit for bit.
    """

    epochs: Positive = 5
    batch_size: Positive = 128
    learning_rate: Annotated[float, Field(gt=0)] = 0.001
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    verbosity: Literal[0, 1, 2] = 1
    compiled: bool = True
    bucketing: bool = True
    shards: Annotated[int, Field(ge=1, le=64)] = 2
    early_stopping: EarlyStopping | None = None
    restore_best_weights: bool = False
    deterministic: bool = True


class EvaluationConfig(Section):
    """How the test split is scored. `length_bands` are the upper bounds, in words, of all slices but the last.

    `audit_fraction` of the test rows are sealed: scored at a promotion alone, and never to choose.
    """

    batch_size: Positive = 512
    threshold: Fraction = 0.5
    confidence: Fraction = 0.95
    bootstrap_samples: Annotated[int, Field(ge=100)] = 1000
    length_bands: Annotated[list[Positive], Field(min_length=1)] = [100, 200, 300]
    mistakes: Positive = 50
    audit_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.2

    @model_validator(mode="after")
    def _bands_rise(self) -> Self:
        if sorted(set(self.length_bands)) != self.length_bands:
            raise ValueError("length_bands must rise from one to the next")
        return self


class GateConfig(Section):
    """What a challenger must be shown to be, on the gate rows, before it replaces the champion.

    All differences are of accuracy, as shares. With `promote_if: better` the interval of the gain must lie above
    `required_gain`, and the gain itself reach `noise_multiple` times the spread between seeds, where that was measured; with
    `not_worse` the interval must lie above minus `non_inferiority_margin`. No champion may lie more than that margin below the
    best that was promoted and not rolled back, and no slice be shown to lose more than `slice_margin`.
    """

    promote_if: Literal["better", "not_worse"] = "better"
    min_rows: Positive = 100
    confidence: Fraction = 0.95
    required_gain: Annotated[float, Field(ge=0, lt=1)] = 0.0
    non_inferiority_margin: Fraction = 0.005
    slice_margin: Annotated[float, Field(ge=0, lt=1)] = 0.05
    max_calibration_error: Share = 0.1
    max_latency_ratio: Annotated[float, Field(gt=0)] = 2.0
    max_size_ratio: Annotated[float, Field(gt=0)] = 2.0
    noise_multiple: Annotated[float, Field(ge=0)] = 2.0


class RegistrationConfig(Section):
    """Registered model, the check that its files can be loaded and used, and the gate that it must pass to be champion.

    `{dataset}` in `model_name` stands for the dataset's name. `floors` are the least values of the metrics on the gate rows.
    """

    model_name: Annotated[str, Field(min_length=1, pattern=r"^[^/:]+$")] = "{dataset}-lstm"
    floors: Annotated[dict[Metric, Share], Field(min_length=1)] = {"accuracy": 0.8, "roc_auc": 0.85}
    load_check_rows: Positive = 100
    load_check_tolerance: Annotated[float, Field(gt=0)] = 1e-6
    load_check_seconds: Annotated[float, Field(gt=0)] = 120.0
    load_check_mebibytes: Positive = 4096
    gate: GateConfig = GateConfig()


class TrackingConfig(Section):
    """MLflow experiment (`{dataset}` as above), sampling of system metrics, and the longest wait for MLflow to take it all."""

    experiment: Annotated[str, Field(min_length=1)] = "{dataset}"
    system_metrics: bool = True
    system_metrics_seconds: Annotated[float, Field(ge=0.5)] = 2.0
    wait_seconds: Annotated[float, Field(ge=0)] = 300.0


class Config(Section):
    """One training, whole."""

    data: DataConfig
    validation: ValidationConfig = ValidationConfig()
    padding: PaddingConfig = PaddingConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    registration: RegistrationConfig = RegistrationConfig()
    tracking: TrackingConfig = TrackingConfig()

    @property
    def registered_model(self) -> str:
        """The registered model's name with `{dataset}` filled in."""
        return self.registration.model_name.replace("{dataset}", self.data.dataset)

    @property
    def experiment(self) -> str:
        """The experiment's name with `{dataset}` filled in."""
        return self.tracking.experiment.replace("{dataset}", self.data.dataset)
