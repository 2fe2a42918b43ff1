"""What rooms hand each other: small frozen values that name their bulk by folder and digest, never the bulk itself."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Split = Literal["train", "validation", "test"]


class Handle(BaseModel):
    """Base of every handle."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class StageRecord(Handle):
    """One stage of one run: what it took, and whether an earlier run's result was reused.

    `seconds` are wall seconds, `cpu_seconds` the processor's in this process and the children that ended meanwhile;
    `peak_mebibytes` is the most memory that the process had held by the stage's end.
    """

    stage: str
    seconds: float
    cpu_seconds: float
    peak_mebibytes: float
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

    Where `longest_ngram` is above 0: `ngrams.npz`, the n-gram model; `log_ratios_<split>.npy` float16 (rows, maxlen,
    longest_ngram); `logits_<split>.npy` float32 (rows,), the linear model's. Those of train are of models that were fitted
    without the row.
    """

    vocabulary_size: int
    maxlen: int
    longest_ngram: int = 0
    rows: dict[Split, int]
    truncated_share: dict[Split, float]
    out_of_vocabulary_share: dict[Split, float]
    padding_share: dict[Split, float]

    def input_files(self, split: Split) -> list[Path]:
        """Return the files of what a network reads of a split: ids and, where there are n-grams, log ratios and logits."""
        return [self.file(f"{name}_{split}.npy") for name in ("ids", *(("log_ratios", "logits") if self.longest_ngram else ()))]


class TrackedRun(Handle):
    """An MLflow run in progress: where it is recorded, and the local folder for what it makes.

    `url` is None where MLflow is not a server; `resumed` tells that it was cut off before, and now goes on.
    """

    run_id: str
    experiment_id: str
    experiment: str
    name: str
    folder: str
    url: str | None
    resumed: bool = False


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


class Baseline(StageOutput):
    """A linear model's scores of the gate rows, which depend on the reviews alone.

    `predictions.parquet` holds row int64, label int8 and probability float32, one row per gate row. The model learnt the
    weights of `ngrams` words and word pairs from `learnt_rows` of the `train_rows`: all of them, unless they are very many.
    """

    rows: int
    train_rows: int
    learnt_rows: int
    ngrams: int


class PairedAccuracy(Handle):
    """Accuracy of a challenger and a champion on the same rows, named for the slice or "all".

    `gain` is the challenger's accuracy less the champion's; `only_challenger` and `only_champion` count the rows that one of
    them alone has right.
    """

    name: str
    rows: int
    challenger: float
    champion: float
    only_challenger: int
    only_champion: int
    gain: Interval


class BaselineComparison(Handle):
    """A trained network beside the linear model, on the same gate rows.

    `metrics` holds the linear model's accuracy, roc_auc and loss. In `accuracy` the network is the challenger, and the linear
    model stands in the champion's place. The rest is as in `Baseline`.
    """

    metrics: dict[str, float]
    accuracy: PairedAccuracy
    train_rows: int
    learnt_rows: int
    ngrams: int


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
    baseline: BaselineComparison


class ModelVersion(Handle):
    """A registered version."""

    name: str
    version: str
    run_id: str
    model_uri: str
    weights_sha256: str


class GateRows(StageOutput):
    """The test split, divided for good into gate rows, which decide on promotions, and sealed audit rows, which never do.

    `gate.parquet` and `audit.parquet` hold row int64, digest binary (16 bytes), label int8 and words int32, a row for each
    test review; `training.parquet` holds the digest of each text of train and validation, once, sorted. `sha256` is that of
    the gate rows' digests and labels in sorted order, so the same reviews in another file or order give the same.
    """

    rows: int
    audit_rows: int


class ReviewProfile(StageOutput):
    """What is kept of reviews to compare others with: `profile.parquet`, figures of each review and no text."""

    rows: int


class NewReviews(StageOutput):
    """New reviews: `new_reviews.parquet` with `text` string and `label` int8 (0, 1), null throughout where there are no labels.

    The source has `available` reviews, of which `rows` were drawn by their content. `sha256` is that of the file.
    """

    source: str
    available: int
    rows: int
    labelled: bool


class Standing(Handle):
    """What a version was found to be when it was last scored on gate rows.

    `metrics` holds values of `Evaluation.metrics`; `calibration_error` is the expected calibration error, a share;
    `latency_milliseconds` the median time to score one text; `bytes` the size of all files of the version.
    """

    version: str
    metrics: dict[str, float]
    calibration_error: float
    latency_milliseconds: float
    bytes: int


class SeedNoise(Handle):
    """How far accuracies lie apart that differ by nothing but the seed of training.

    `accuracies` are those on the gate rows, one a seed; `spread` is the standard deviation of the difference of two of them.
    """

    accuracies: tuple[float, ...]
    spread: float
    gate_sha256: str
    config_sha256: str


class HighWaterMark(Handle):
    """The best of the champions that were not rolled back, by its accuracy on the gate rows that are compared on."""

    version: str
    accuracy: float


class Comparison(Handle):
    """A challenger beside the champion, if there is one, on the same gate rows.

    `rows` are the gate rows less `overlap_rows`, those that one of the versions was trained on; `decided_before` says how
    many decisions the same gate rows have taken already, `gate_changed` whether the champion was trained before these were
    the gate rows. `p_value` is that of McNemar's test, two-sided, by the method `test`.
    """

    gate_sha256: str
    rows: int
    overlap_rows: int
    decided_before: int
    gate_changed: bool
    challenger: Standing
    champion: Standing | None
    accuracy: PairedAccuracy | None
    test: Literal["exact", "mid-p"] | None
    p_value: float | None
    slices: tuple[PairedAccuracy, ...]
    high_water: HighWaterMark | None
    noise: SeedNoise | None


class GateCheck(Handle):
    """One condition of the gate: None where it is neither shown to hold nor shown to fail."""

    name: str
    passed: bool | None
    sentence: str


class Verdict(Handle):
    """What the gate says of a challenger, why, in one sentence, and every condition that it looked at."""

    outcome: Literal["promote", "keep", "undecided"]
    reason: str
    checks: tuple[GateCheck, ...]


class Decision(Handle):
    """What became of a version, and why, in one sentence.

    `champion` is the champion after it, `replaced` the one before it where that is another. `audit` is the accuracy on the
    sealed rows, computed only for one that is promoted.
    """

    outcome: Literal["promote", "keep", "undecided"]
    reason: str
    alias: Literal["champion", "challenger"]
    champion: str | None
    replaced: str | None
    checks: tuple[GateCheck, ...]
    comparison: Comparison
    audit: Interval | None


class LedgerEntry(Handle):
    """One entry of a registered model's promotion ledger, numbered from 1.

    `claim` is the uuid (hex) of the attempt that wrote it, `time` is UTC, `actor` the user@host or the flow run that decided,
    and `version` what was decided on. `previous_sha256` is the digest of the entry before it, "" for the first.
    """

    number: int
    claim: str
    time: AwareDatetime
    actor: str
    action: Literal["gate", "audit", "override", "rollback"]
    outcome: Literal["promote", "keep", "undecided", "refused", "audited"]
    version: str
    champion_before: str | None
    champion_after: str | None
    reason: Annotated[str, Field(max_length=1000)]
    gate_sha256: str | None
    figures: dict[str, float]
    digests: dict[str, str]
    previous_sha256: str


class Reproduction(Handle):
    """What became of rebuilding a version.

    `weights_sha256` is None where nothing was trained, since the data differ. `differs` is the first thing that may explain
    other weights; `circumstances` all that differ, also where the weights do not.
    """

    identical: bool
    weights_sha256: str | None
    expected_sha256: str
    differs: str | None
    circumstances: tuple[str, ...]


class TrialOutcome(Handle):
    """What became of a sweep's trial: `params` by dotted key, `value` of the sweep's metric, and the epochs that it ran.

    A pruned trial's `value` is that of its last epoch; a failed one has none. `run_id` is None where it failed before its
    MLflow run began.
    """

    number: int
    state: Literal["complete", "pruned", "failed"]
    value: float | None
    params: dict[str, bool | int | float | str | None]
    epochs: int
    run_id: str | None
    error: str | None


class DriftSignal(Handle):
    """One way in which new reviews were compared with the reference.

    It is drift where `size`, of the difference by `measure`, reaches `threshold` and `p_value` is at most `level`, or where one
    of both is no number. `reference` and `new` are the figure itself, named `figure`, of both.
    """

    name: Literal["length", "unknown words", "score", "vocabulary", "label balance", "accuracy"]
    outcome: Literal["drift", "no drift"]
    figure: str
    reference: float
    new: float
    measure: str
    size: float
    threshold: float
    p_value: float
    level: float


class Drift(Handle):
    """Whether new reviews are like those that a version was evaluated on, in one sentence and signal by signal.

    Where there are labels, `accuracy` is that on the new reviews, and `detectable_drop` the drop of accuracy, as a share, that
    would be found in 4 of 5 such samples.
    """

    model: str
    version: str
    outcome: Literal["drift", "no drift", "not enough rows"]
    sentence: str
    rows: int
    reference_rows: int
    signals: tuple[DriftSignal, ...]
    accuracy: Interval | None
    detectable_drop: float | None
