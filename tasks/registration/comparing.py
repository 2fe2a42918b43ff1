"""Versions side by side: scored on the same gate rows, now, by the same code."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from configs.schema import Config
from tasks.evaluation.comparison import compare_accuracy, compare_slices, expected_calibration_error, mcnemar
from tasks.evaluation.intervals import wilson_interval
from tasks.evaluation.metrics import measure_points
from tasks.evaluation.scores import check_labels, check_probabilities
from tasks.handles import Comparison, GateRows, HighWaterMark, Interval, PairedAccuracy, Reviews, SeedNoise, Standing
from tasks.registration.model_files import blaming, verified_model
from tasks.registration.training_texts import read_training_texts
from tasks.registration.versions import VersionDetails

LATENCY_CALLS = 30


class Rows(NamedTuple):
    """Rows of the test split: `texts`, `labels` int8 and `words` int32, each (rows,); `overlap` more were left out."""

    texts: list[str]
    labels: NDArray[np.int8]
    words: NDArray[np.int32]
    overlap: int


class Scored(NamedTuple):
    """What a version says of rows: `probabilities` float64 and `labels` int8, each (rows,)."""

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int8]


class LoadedVersion(NamedTuple):
    """A version whose files are as they were registered, ready to score; `bytes` is the size of them all."""

    version: str
    predict: Callable[[list[str]], list[Any]]
    bytes: int

    def score(self, texts: list[str]) -> Scored:
        """Score texts (rows,).

        Raises:
            ModelMismatch: the model fails at it, or does not give a probability for each.
        """
        with blaming(self.version):
            predictions = self.predict(texts)
            probabilities = np.array([prediction.probability for prediction in predictions], dtype=np.float64)
            labels = np.array([prediction.label for prediction in predictions], dtype=np.int8)
        check_probabilities(probabilities, len(texts))
        return Scored(probabilities, labels)


def load_version(version: VersionDetails) -> LoadedVersion:
    """Load a version after its files were found to be those that were registered.

    Raises:
        ModelMismatch: a file is not what was registered, or the model cannot be loaded.
        RegistryError: MLflow could not be reached, or refused.
    """
    with verified_model(version.summary.name, version.summary.version) as folder:
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        with blaming(version.summary.version):
            model = mlflow.pyfunc.load_model(str(folder))
    return LoadedVersion(version.summary.version, model.predict, size)


def read_rows(reviews: Reviews, table: Path, learned: pa.Array) -> Rows:
    """Read the rows of `gate.parquet` or `audit.parquet`, less those whose text a version has learned from.

    Args:
        reviews: the reviews that the rows are of.
        table: the file.
        learned: digests of texts, (texts,) binary of 16 bytes.
    """
    rows = pq.read_table(table)
    kept = rows.filter(pc.invert(pc.is_in(rows["digest"], value_set=learned)))
    texts = pq.read_table(reviews.file("reviews.parquet"), columns=["text"])["text"].take(kept["row"])
    return Rows(texts.to_pylist(), kept["label"].to_numpy(), kept["words"].to_numpy(), len(rows) - len(kept))


def compare_versions(
    challenger: VersionDetails,
    champion: VersionDetails | None,
    best: Sequence[VersionDetails],
    *,
    reviews: Reviews,
    gate_rows: GateRows,
    config: Config,
    decided_before: int,
    recorded_marks: Sequence[HighWaterMark],
    noise: SeedNoise | None,
) -> Comparison:
    """Score the versions on the gate rows that none of them was trained on, and compare them.

    Args:
        challenger: the one that is to be decided on.
        champion: the present champion.
        best: those that may hold the high-water mark.
        reviews: the reviews that the gate rows are of.
        gate_rows: the rows.
        config: of the challenger; its gate and length bands hold for all, the threshold is each version's own.
        decided_before: the decisions that these gate rows have taken.
        recorded_marks: of versions that can be scored no more.
        noise: the spread between seeds, where it was measured.

    Raises:
        DataError: no gate row is left, or all are of one class.
        ModelMismatch: a version is not what was registered, cannot be loaded, or does not give a probability for each row.
        RegistryError: MLflow could not be reached, or refused.
    """
    versions = {one.summary.version: one for one in (challenger, *([champion] if champion else []), *best)}
    learned = pc.unique(pa.concat_arrays([read_training_texts(one, gate_rows) for one in versions.values()]))
    rows = read_rows(reviews, gate_rows.file("gate.parquet"), learned)
    check_labels(rows.labels)
    loaded = {number: load_version(one) for number, one in versions.items()}
    scored = {number: one.score(rows.texts) for number, one in loaded.items()}
    latencies = measure_latencies([one.predict for one in loaded.values()], rows.texts[:LATENCY_CALLS])
    standings = {
        number: _stand(loaded[number], rows, scored[number], latency) for number, latency in zip(loaded, latencies, strict=True)
    }
    gate = config.registration.gate
    marks = [
        HighWaterMark(version=one.summary.version, accuracy=standings[one.summary.version].metrics["accuracy"]) for one in best
    ]
    accuracy, test, p_value = None, None, None
    slices: tuple[PairedAccuracy, ...] = ()
    if champion is not None:
        ours, theirs = (scored[one.summary.version].labels for one in (challenger, champion))
        bands, confidence = config.evaluation.length_bands, gate.confidence
        accuracy = compare_accuracy("all", rows.labels, ours, theirs, confidence)
        slices = compare_slices(rows.labels, rows.words, ours, theirs, bands=bands, confidence=confidence)
        test, p_value = mcnemar(accuracy.only_challenger, accuracy.only_champion)
    return Comparison(
        gate_sha256=gate_rows.sha256,
        rows=len(rows.labels),
        overlap_rows=rows.overlap,
        decided_before=decided_before,
        gate_changed=champion is not None and champion.tags.get("gate.sha256") != gate_rows.sha256,
        challenger=standings[challenger.summary.version],
        champion=standings[champion.summary.version] if champion else None,
        accuracy=accuracy,
        test=test,
        p_value=p_value,
        slices=slices,
        high_water=max([*marks, *recorded_marks], key=lambda mark: mark.accuracy, default=None),
        noise=noise,
    )


def audit_version(version: VersionDetails, reviews: Reviews, gate_rows: GateRows, confidence: float) -> Interval | None:
    """Return a version's accuracy on the sealed rows that it was not trained on, with its Wilson interval; None of no rows.

    Raises:
        ModelMismatch: the version is not what was registered, cannot be loaded, or does not give a probability for each row.
        RegistryError: MLflow could not be reached, or refused.
    """
    rows = read_rows(reviews, gate_rows.file("audit.parquet"), read_training_texts(version, gate_rows))
    if not rows.texts:
        return None
    right = int((load_version(version).score(rows.texts).labels == rows.labels).sum())
    return wilson_interval(right, len(rows.labels), confidence)


def measure_latencies(predictors: Sequence[Callable[[list[str]], object]], texts: Sequence[str]) -> list[float]:
    """Return each predictor's median time for one text, in milliseconds, over all the texts; they take turns."""
    seconds = np.empty((len(texts), len(predictors)))
    for row, text in enumerate(texts):
        for column, predict in enumerate(predictors):
            start = time.perf_counter()
            predict([text])
            seconds[row, column] = time.perf_counter() - start
    return [float(median) * 1000 for median in np.median(seconds, axis=0)]


def _stand(loaded: LoadedVersion, rows: Rows, scored: Scored, latency: float) -> Standing:
    return Standing(
        version=loaded.version,
        metrics=measure_points(rows.labels, scored.labels, scored.probabilities),
        calibration_error=expected_calibration_error(rows.labels, scored.probabilities),
        latency_milliseconds=latency,
        bytes=loaded.bytes,
    )
