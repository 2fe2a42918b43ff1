import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from configs.schema import EvaluationConfig
from tasks.errors import DataError
from tasks.evaluation.assessment import tabulate_predictions
from tasks.evaluation.beside import compare_with_baseline
from tasks.evaluation.comparison import paired_gain
from tasks.handles import Baseline, BaselineComparison

SETTINGS = EvaluationConfig(threshold=0.4, confidence=0.9)


@pytest.fixture
def linear(scored_rows, tmp_path):
    """A linear model that takes every fifth row for the other class."""
    labels, _ = scored_rows
    rows = np.arange(10, 10 + labels.size)
    probabilities = np.where((labels == 1) ^ (np.arange(labels.size) % 5 == 0), 0.9, 0.2).astype(np.float32)
    pq.write_table(tabulate_predictions(rows, labels, probabilities), tmp_path / "predictions.parquet")
    handle = Baseline(path=str(tmp_path), sha256="0", rows=labels.size, train_rows=9, learnt_rows=5, ngrams=3)
    return rows, probabilities, handle


def test_the_network_is_the_challenger_on_the_same_rows(scored_rows, linear):
    labels, probabilities = scored_rows
    rows, other, handle = linear
    found = compare_with_baseline(rows, labels, probabilities, handle, SETTINGS)
    right, other_right = ((scores >= 0.4) == labels for scores in (probabilities, other))
    assert found.metrics["accuracy"] == found.accuracy.champion == other_right.mean() == 0.8
    assert found.metrics["roc_auc"] == pytest.approx(roc_auc_score(labels, other))
    assert found.metrics["loss"] == pytest.approx(log_loss(labels, other.astype(np.float64)), rel=1e-6)
    counts = int((right & ~other_right).sum()), int((other_right & ~right).sum())
    assert (found.accuracy.only_challenger, found.accuracy.only_champion) == counts
    assert found.accuracy.gain == paired_gain(*counts, labels.size, 0.9)
    assert (found.train_rows, found.learnt_rows, found.ngrams) == (9, 5, 3)
    assert BaselineComparison.model_validate_json(found.model_dump_json()) == found


def test_scores_of_other_rows_are_refused(scored_rows, linear):
    labels, probabilities = scored_rows
    rows, _, handle = linear
    with pytest.raises(DataError, match="the 2000 rows that the linear model has scored are not the 2000 rows"):
        compare_with_baseline(rows + 1, labels, probabilities, handle, SETTINGS)
    with pytest.raises(DataError, match="are not the 1999 rows"):
        compare_with_baseline(rows[1:], labels[1:], probabilities[1:], handle, SETTINGS)
