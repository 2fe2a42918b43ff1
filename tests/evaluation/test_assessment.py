import re

import numpy as np
import pyarrow as pa

from configs.schema import EvaluationConfig
from tasks.evaluation.assessment import assess, summarize, tabulate_predictions
from tasks.handles import BaselineComparison, Evaluation, Interval, PairedAccuracy

SETTINGS = EvaluationConfig(bootstrap_samples=100, threshold=0.4, confidence=0.9, length_bands=[10])
NO_GAIN = Interval(value=0.0, low=-1.0, high=1.0)
BASELINE = BaselineComparison(
    metrics={"accuracy": 0.5},
    accuracy=PairedAccuracy(name="all", rows=2, challenger=0.5, champion=0.5, only_challenger=0, only_champion=0, gain=NO_GAIN),
    train_rows=1,
    learnt_rows=1,
    ngrams=1,
)


def test_the_assessment_agrees_with_itself_and_fits_its_handle(scored_rows):
    labels, probabilities = scored_rows
    lengths = np.arange(labels.size) % 21
    found = assess(labels, probabilities, lengths, SETTINGS)
    (true_negatives, false_positives), (misses, hits) = found.confusion
    assert true_negatives + false_positives + misses + hits == labels.size
    assert found.metrics["accuracy"].value == (true_negatives + hits) / labels.size
    assert [part.name for part in found.slices] == ["0 words", "1-10 words", "over 10 words", "negative", "positive"]
    assert found.slices[-1].accuracy == found.metrics["recall"]
    evaluation = Evaluation(path="x", sha256="y", rows=labels.size, confidence=0.9, baseline=BASELINE, **found._asdict())
    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation


def test_predictions_have_the_promised_columns():
    table = tabulate_predictions(np.array([5, 9], np.int32), np.array([0, 1]), np.array([0.25, 0.75]))
    assert table.schema.equals(pa.schema([("row", pa.int64()), ("label", pa.int8()), ("probability", pa.float32())]))
    assert table.to_pylist() == [
        {"row": 5, "label": 0, "probability": 0.25},
        {"row": 9, "label": 1, "probability": 0.75},
    ]


def test_the_line_of_results():
    metrics = {name: Interval(value=value, low=0, high=1) for name, value in (("loss", 0.32849), ("accuracy", 0.86668))}
    assert summarize(metrics) == "Test results - Loss: 0.3285 - Accuracy: 86.67%"
    assert re.search(r"Accuracy: 100\.00%", summarize({**metrics, "accuracy": Interval(value=1, low=1, high=1)}))
