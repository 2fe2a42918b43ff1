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

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    def digest(self) -> str:
        """Return the sha256 (hex) of the section's canonical JSON."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class DataConfig(Section):
    """Where the labelled reviews come from and how they are split."""

    source: Literal["imdb", "npz", "folder", "table", "sample"]
    """Kind of source; `imdb` is downloaded, `sample` generated, and the others are read at `path`."""
    path: Location | None = None
    """Local path, glob or fsspec URL of the reviews, without credentials."""
    test_path: Location | None = None
    """Of a table, a second one that holds the test rows."""
    word_index: Location | None = None
    """Of an npz, where its word index lies; else `imdb_word_index.json` beside it."""
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")] | None = None
    """Name of the dataset in model and experiment; else what the path, or the source, is called."""
    text_column: str = "text"
    """Column of the texts."""
    label_column: str = "label"
    """Column of the labels."""
    split_column: str | None = None
    """Column that says `train`, `validation` or `test`; without it, rows are drawn."""
    negative_labels: Annotated[list[LabelName], Field(min_length=1)] = ["0", "neg", "negative"]
    """Labels, to the letter, that count as negative (0)."""
    positive_labels: Annotated[list[LabelName], Field(min_length=1)] = ["1", "pos", "positive"]
    """Labels, to the letter, that count as positive (1)."""
    test_fraction: Fraction = 0.2
    """Share of the rows that become test, stratified by label, where the source has no test rows of its own."""
    validation_fraction: Fraction = 0.2
    """Share of the train rows that become validation, stratified by label."""
    split_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of both draws."""

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
    """Share of the rows above which the run warns."""
    fail_above: Share
    """Share of the rows above which the run fails."""


class ValidationConfig(Section):
    """What raw reviews must satisfy before anything is trained on them."""

    min_rows: Positive = 100
    """Least number of train reviews."""
    min_positive_share: Share = 0.4
    """Least share of positive reviews in each split."""
    max_positive_share: Share = 0.6
    """Greatest share of positive reviews in each split."""
    min_characters: Positive = 1
    """Least length of a text."""
    max_characters: Positive = 100_000
    """Greatest length of a text."""
    duplicates: Threshold = Threshold(warn_above=0.01, fail_above=0.05)
    """Reviews that repeat an earlier one, of train and validation or of test."""
    leakage: Threshold = Threshold(warn_above=0.0, fail_above=0.01)
    """Test reviews that stand in train or validation, too."""
    conflicts: Threshold = Threshold(warn_above=0.0, fail_above=0.001)
    """Reviews whose text carries both labels."""
    drop_leaked: bool = False
    """Take leaked reviews out of test, instead of failing."""


class PaddingConfig(Section):
    """How texts become rows of ids: ids 0 padding, 1 start, 2 out of vocabulary, words from 3 + rank."""

    vocabulary_size: Annotated[int, Field(ge=4, le=65_536)] = 5000
    """Number of ids, the three special ones included; rarer words are out of vocabulary."""
    maxlen: Positive = 300
    """Length of a row, in ids; longer texts are cut, shorter ones padded."""
    padding: Literal["pre", "post"] = "pre"
    """Side on which short texts are padded."""
    truncating: Literal["pre", "post"] = "pre"
    """Side on which long texts are cut."""
    vocabulary: Literal["auto", "given", "fitted"] = "auto"
    """The source's own word index, one fitted on the train split, or the first where there is one."""
    longest_ngram: Annotated[int, Field(ge=0, le=4)] = 0
    """Words of the longest n-grams that the network is told the log ratios of, beside the words; 0 gives it words alone."""


class ModelConfig(Section):
    """Embedding -> LSTM -> Dense(1, sigmoid); with n-grams an LSTM in both directions, and the mean of its states.

    The dropouts are for the network with n-grams alone.
    """

    embedding_dimension: Positive = 15
    """Width of a word's vector."""
    lstm_units: Positive = 10
    """Width of the LSTM's state."""
    mask_padding: bool = False
    """Keep the LSTM from reading padding."""
    embedding_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the embedding's columns that a review in training goes without."""
    word_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the words, with their n-grams, that a review in training goes without."""
    state_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the states' mean that a review in training goes without."""


class EarlyStopping(Section):
    """When training stops before its last epoch."""

    monitor: Literal["val_loss", "val_accuracy"] = "val_loss"
    """What is watched."""
    patience: Positive = 2
    """Epochs without a gain after which training stops."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """Least change that counts as a gain."""


class TrainingConfig(Section):
    """Adam on binary cross-entropy."""

    epochs: Positive = 5
    """Passes over the train split, at most."""
    batch_size: Positive = 128
    """Reviews a step."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.001
    """Adam's, of the first step."""
    learning_rate_decay: Literal["none", "cosine"] = "none"
    """Whether it stays, or falls to 0 by the last step along a half cosine."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of weights and batches."""
    verbosity: Literal[0, 1, 2] = 1
    """0 silent, 1 a progress bar per epoch (a line where the output is no terminal), 2 a line per epoch."""
    compiled: bool = True
    """Run steps as compiled graphs; false runs them eagerly, to look into them."""
    bucketing: bool = True
    """Batch reviews of similar length and leave out the padding that they share; changes the weights."""
    shards: Annotated[int, Field(ge=1, le=64)] = 2
    """Pieces of a batch that run side by side; another number gives other last bits of the weights."""
    early_stopping: EarlyStopping | None = None
    """When to stop before the last epoch; never without it."""
    restore_best_weights: bool = False
    """Keep the weights of the best epoch, not those of the last."""
    deterministic: bool = True
    """Have TensorFlow refuse what would not repeat bit for bit."""


class EvaluationConfig(Section):
    """How the test split is scored."""

    batch_size: Positive = 512
    """Reviews that are scored at a time."""
    threshold: Fraction = 0.5
    """Probability from which on a review counts as positive."""
    confidence: Fraction = 0.95
    """Confidence of the intervals of metrics."""
    bootstrap_samples: Annotated[int, Field(ge=100)] = 1000
    """Draws behind the intervals that have no formula."""
    length_bands: Annotated[list[Positive], Field(min_length=1)] = [100, 200, 300]
    """Upper bounds, in words, of all length slices but the last."""
    mistakes: Positive = 50
    """How many of the worst mistakes are listed."""
    audit_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the test rows that is sealed: scored at a promotion alone, and never to choose."""

    @model_validator(mode="after")
    def _bands_rise(self) -> Self:
        if sorted(set(self.length_bands)) != self.length_bands:
            raise ValueError("length_bands must rise from one to the next")
        return self


class GateConfig(Section):
    """What a challenger must be shown to be, on the gate rows, before it replaces the champion.

    All differences are of accuracy, as shares.
    """

    promote_if: Literal["better", "not_worse"] = "better"
    """Whether a challenger must be shown to be better, or no worse than the margin."""
    min_rows: Positive = 100
    """Least number of gate rows."""
    confidence: Fraction = 0.95
    """Confidence of each comparison."""
    required_gain: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """With `better`, what the interval of the gain must lie above."""
    non_inferiority_margin: Fraction = 0.005
    """Largest loss that `not_worse` allows, and the most below the best version so far."""
    slice_margin: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Loss that no length band and no class may be shown to exceed."""
    max_calibration_error: Share = 0.1
    """Greatest expected calibration error."""
    max_latency_ratio: Annotated[float, Field(gt=0)] = 2.0
    """Greatest time to score, in multiples of the champion's."""
    max_size_ratio: Annotated[float, Field(gt=0)] = 2.0
    """Greatest size of the files, in multiples of the champion's."""
    noise_multiple: Annotated[float, Field(ge=0)] = 2.0
    """With `better`, how many times the spread between seeds the gain must be, where that was measured."""


class RegistrationConfig(Section):
    """Registered model, the check that its files can be loaded and used, and the gate that it must pass to be champion."""

    model_name: Annotated[str, Field(min_length=1, pattern=r"^[^/:]+$")] = "{dataset}-lstm"
    """Name of the registered model; `{dataset}` is filled in."""
    floors: Annotated[dict[Metric, Share], Field(min_length=1)] = {"accuracy": 0.8, "roc_auc": 0.85}
    """Least values of metrics on the gate rows."""
    load_check_rows: Positive = 100
    """Test reviews that the logged model must score in a fresh process as the training did."""
    load_check_tolerance: Annotated[float, Field(gt=0)] = 1e-6
    """Greatest difference of two such scores."""
    load_check_seconds: Annotated[float, Field(gt=0)] = 120.0
    """Longest time that this may take."""
    load_check_mebibytes: Positive = 4096
    """Most memory that this may take."""
    gate: GateConfig = GateConfig()
    """What a challenger must be shown to be."""


class TrackingConfig(Section):
    """MLflow experiment, sampling of system metrics, and patience with MLflow."""

    experiment: Annotated[str, Field(min_length=1)] = "{dataset}"
    """Name of the MLflow experiment; `{dataset}` is filled in."""
    system_metrics: bool = True
    """Record processor and memory while the run lasts."""
    system_metrics_seconds: Annotated[float, Field(ge=0.5)] = 2.0
    """Time between two such records."""
    wait_seconds: Annotated[float, Field(ge=0)] = 300.0
    """Longest wait, at the end, for MLflow to take all that was recorded."""


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
