import logging
import shutil
import subprocess
import sys

import matplotlib.image
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.schema import EvaluationConfig
from tasks.errors import DataError
from tasks.evaluation.assessment import tabulate_predictions
from tasks.evaluation.task import evaluate
from tasks.handles import Baseline, GateRows, PaddedReviews, Reviews, TrackedRun, TrainedModel
from tasks.workspace import is_whole, sha256_of_file

ROWS, SEALED, MAXLEN = 40, 5, 6
SETTINGS = EvaluationConfig(batch_size=16, bootstrap_samples=100, length_bands=[10, 20], mistakes=3)


@pytest.fixture
def padded(tmp_path):
    """40 test rows of which every second is positive; id 4 speaks for the label, and every tenth row lies; then 5 sealed."""
    folder = tmp_path / "padded"
    folder.mkdir()
    count = ROWS + SEALED
    labels = (np.arange(count) % 2).astype(np.int8)
    ids = np.full((count, MAXLEN), 5, dtype=np.uint16)
    ids[(labels == 1) ^ (np.arange(count) % 10 == 0)] = 4
    arrays = {
        "ids": ids,
        "labels": labels,
        "rows": np.arange(100, 100 + count),
        "lengths": np.arange(2, count + 2, dtype=np.int32),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}_test.npy", array)
    rows = {"train": 0, "validation": 0, "test": count}
    shares = dict.fromkeys(rows, 0.0)
    return PaddedReviews(
        path=str(folder),
        sha256="0",
        vocabulary_size=6,
        maxlen=MAXLEN,
        rows=rows,
        truncated_share=shares,
        out_of_vocabulary_share=shares,
        padding_share=shares,
    )


@pytest.fixture
def gate_rows(tmp_path):
    pq.write_table(pa.table({"row": np.arange(100, 100 + ROWS)}), tmp_path / "gate.parquet")
    return GateRows(path=str(tmp_path), sha256="0", rows=ROWS, audit_rows=SEALED)


@pytest.fixture
def baseline(tmp_path):
    """A linear model that takes each of the 40 rows for positive."""
    folder = tmp_path / "baseline"
    folder.mkdir()
    rows = np.arange(100, 100 + ROWS)
    pq.write_table(tabulate_predictions(rows, rows % 2, np.full(ROWS, 0.75)), folder / "predictions.parquet")
    return Baseline(path=str(folder), sha256="0", rows=ROWS, train_rows=1, learnt_rows=1, ngrams=1)


@pytest.fixture
def reviews(tmp_path):
    folder = tmp_path / "reviews"
    folder.mkdir()
    pq.write_table(pa.table({"text": [f"review {row}" for row in range(200)]}), folder / "reviews.parquet")
    return Reviews(
        path=str(folder),
        sha256="0",
        dataset="tiny",
        source="table",
        source_sha256="0",
        rows={"test": ROWS + SEALED},
        has_vocabulary=False,
    )


@pytest.fixture
def tracked_run(tmp_path):
    return TrackedRun(run_id="1", experiment_id="0", experiment="tiny", name="tiny", folder=str(tmp_path / "run"), url=None)


@pytest.fixture
def model(tmp_path):
    """A network that gives 0.8 where the last id is 4, and 0.2 elsewhere."""
    import keras

    from tasks.training import lstm

    folder = tmp_path / "model"
    folder.mkdir()
    layers = [keras.layers.Embedding(6, 1), keras.layers.LSTM(1), keras.layers.Dense(1, activation="sigmoid")]
    network = keras.Sequential([keras.Input((MAXLEN,)), *layers])
    layers[0].set_weights([np.array([[0], [0], [0], [0], [1], [-1]], dtype=np.float32)])
    # Gates i, f, c, o: the cell takes the sign of each step, forgets the one before, and shows itself.
    cell = [[[0, 0, 50, 0]], [[0, 0, 0, 0]], [50, -50, 0, 50]]
    layers[1].set_weights([np.array(weights, dtype=np.float32) for weights in cell])
    layers[2].set_weights([np.array([[np.log(4) / np.tanh(1)]], dtype=np.float32), np.zeros(1, dtype=np.float32)])
    network.save(folder / "model.keras")
    shutil.copy(lstm.__file__, folder)
    history = {"loss": (0.5,), "accuracy": (0.8,), "val_loss": (0.6,), "val_accuracy": (0.7,)}
    return TrainedModel(path=str(folder), sha256="0", parameters=13, epochs_run=1, best_epoch=1, history=history)


def test_the_stage_scores_the_gate_rows_alone_and_publishes_what_it_found(
    model, padded, reviews, gate_rows, baseline, tracked_run, tmp_path, caplog
):
    folder = tmp_path / "run" / "evaluation"
    with caplog.at_level(logging.INFO, logger="reprise.evaluation"):
        found = evaluate.__wrapped__(model, padded, reviews, gate_rows, baseline, SETTINGS, tracked_run)

    loss = -(0.9 * np.log(0.8) + 0.1 * np.log(0.2))
    assert found.metrics["loss"].value == pytest.approx(loss, rel=1e-5)
    assert found.confusion == ((16, 4), (0, 20))
    pair = found.baseline.accuracy
    assert (found.baseline.metrics["accuracy"], pair.only_challenger, pair.only_champion) == (0.5, 16, 0)
    ours = [record.message for record in caplog.records if record.name == "reprise.evaluation"]
    assert ours == [f"Test results - Loss: {loss:.4f} - Accuracy: 90.00%"]
    assert (found.path, found.rows, found.confidence) == (str(folder), ROWS, 0.95)
    # Lengths count the start marker, words do not: rows 0 to 9 hold 1 to 10 words.
    assert [(part.name, part.rows) for part in found.slices[:3]] == [
        ("1-10 words", 10),
        ("11-20 words", 10),
        ("over 20 words", 20),
    ]

    assert is_whole(folder)
    assert found.sha256 == sha256_of_file(found.file("predictions.parquet"))
    predictions = pd.read_parquet(found.file("predictions.parquet"))
    assert predictions.dtypes.astype(str).to_dict() == {"row": "int64", "label": "int8", "probability": "float32"}
    assert predictions["row"].tolist() == list(range(100, 100 + ROWS))
    mistakes = pd.read_parquet(found.file("mistakes.parquet"))
    assert mistakes["text"].tolist() == ["review 100", "review 110", "review 120"]
    assert mistakes["words"].tolist() == [1, 11, 21]
    figures = sorted(path.name for path in found.file("figures").iterdir())
    assert figures == [
        "calibration.png",
        "confusion_matrix.png",
        "learning_curves.png",
        "precision_recall.png",
        "roc.png",
        "score_histogram.png",
    ]
    assert all(matplotlib.image.imread(found.file("figures") / name).shape[:2] == (600, 800) for name in figures)


def test_gate_rows_of_one_class_leave_no_folder(padded, reviews, gate_rows, baseline, tracked_run, tmp_path):
    np.save(padded.file("labels_test.npy"), np.ones(ROWS + SEALED, dtype=np.int8))
    nowhere = TrainedModel(path=str(tmp_path), sha256="0", parameters=0, epochs_run=1, best_epoch=1, history={})
    with pytest.raises(DataError, match="all 40 labels are positive"):
        evaluate.__wrapped__(nowhere, padded, reviews, gate_rows, baseline, SETTINGS, tracked_run)
    assert not (tmp_path / "run" / "evaluation").exists()


def test_importing_the_stage_loads_nothing_heavy():
    heavy = {"sklearn", "scipy", "matplotlib", "tensorflow", "keras", "mlflow", "great_expectations", "pyarrow"}
    code = f"import sys, tasks.evaluation.task; assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
