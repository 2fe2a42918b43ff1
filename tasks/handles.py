"""What rooms hand each other: small frozen values that name their bulk by folder and digest, never the bulk itself."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

Split = Literal["train", "validation", "test"]


class Handle(BaseModel):
    """Base of every handle."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StageRecord(Handle):
    """One stage of one run: its wall seconds, and whether an earlier run's result was reused."""

    stage: str
    seconds: float
    reused: bool


class StageOutput(Handle):
    """The result of a stage whose files lie in one content-addressed folder.

    `path` is that folder, `sha256` the digest of what is in it.
    """

    path: str
    sha256: str

    def file(self, name: str) -> Path:
        """Return the path of the file `name` in the folder."""
        return Path(self.path) / name


class Reviews(StageOutput):
    """Canonical reviews: `reviews.parquet` with `text` string, `label` int8 (0, 1), `split` string.

    Where the source brought its own word index, `vocabulary.json` lists its words from rank 1 on. `sha256` is that of
    `reviews.parquet`; `source_sha256` that of all that was read, a word index included.
    """

    dataset: str
    source: str
    source_sha256: str
    rows: dict[Split, int]
    has_vocabulary: bool


class ValidationReport(StageOutput):
    """What was found in the reviews: `result.json`, `summary.html`, `data_docs/`, `excluded_rows.npy` (int64 row numbers).

    `failures` and `warnings` are sentences that name the expectation, the count and up to five row numbers.
    """

    passed: bool
    checks: int
    failures: tuple[str, ...]
    warnings: tuple[str, ...]
    measured: dict[str, float]
    excluded_rows: int


class PaddedReviews(StageOutput):
    """Padded ids by split, and `vocabulary.json`, the encoder.

    `ids_<split>.npy` uint16 (rows, maxlen); `lengths_<split>.npy` int32 (rows,), before truncation and with the start
    marker; `labels_<split>.npy` int8 (rows,); `rows_<split>.npy` int64 (rows,), row numbers in `reviews.parquet`.
    """

    vocabulary_size: int
    maxlen: int
    rows: dict[Split, int]
    truncated_share: dict[Split, float]
    out_of_vocabulary_share: dict[Split, float]
    padding_share: dict[Split, float]


class TrackedRun(Handle):
    """An MLflow run in progress: where it is recorded, and the local folder for what it makes.

    `url` is None where MLflow is not a server.
    """

    run_id: str
    experiment_id: str
    experiment: str
    name: str
    folder: str
    url: str | None


class TrainedModel(StageOutput):
    """A trained network: `model.keras`, and `lstm.py`, the code that ran it and can run it again as fast.

    `sha256` is that of its weights' bytes, layer by layer in float32.
    """

    parameters: int
    epochs_run: int
    best_epoch: int
    history: dict[str, tuple[float, ...]]


class Interval(Handle):
    """A figure and the bounds of its confidence interval."""

    value: float
    low: float
    high: float


class Slice(Handle):
    """Accuracy on some of the test rows."""

    name: str
    rows: int
    accuracy: Interval


class Evaluation(StageOutput):
    """Scores of the test split, with `mistakes.parquet` and `figures/`.

    `predictions.parquet` holds row int64, label int8 and probability float32, one row per test review.
    `metrics` holds loss, accuracy, precision, recall, f1, roc_auc, average_precision and brier_score.
    """

    rows: int
    confidence: float
    metrics: dict[str, Interval]
    slices: tuple[Slice, ...]
    confusion: tuple[tuple[int, int], tuple[int, int]]


class ModelVersion(Handle):
    """A registered version."""

    name: str
    version: str
    run_id: str
    model_uri: str
    weights_sha256: str


class Decision(Handle):
    """What became of a new version, and why, in one sentence."""

    outcome: Literal["promote", "keep", "undecided"]
    reason: str
    alias: Literal["champion", "challenger"]
    champion: str | None
