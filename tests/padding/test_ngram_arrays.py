import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.padding import ngram_arrays
from tasks.padding.arrays import write_arrays
from tasks.padding.ngram_arrays import write_ngram_arrays
from tasks.served_model import NgramModel, TextEncoder

PHRASES = {1: ["very good film", "not bad at all", "a good one"], 0: ["very bad film", "not good at all", "a bad one"]}


@pytest.fixture
def reviews():
    """Sixty texts of both labels, the splits mixed."""
    labels = np.arange(60) % 2
    texts = [f"{PHRASES[label][number % 3]} {PHRASES[label][number % 2]}" for number, label in enumerate(labels.tolist())]
    splits = np.array(["train", "train", "test", "train", "validation"])[np.arange(60) % 5]
    return pa.table({"text": texts, "label": pa.array(labels, pa.int8()), "split": splits.tolist()})


@pytest.mark.parametrize("batch_rows", [7, 8192])
def test_other_splits_hold_what_serving_reads_and_train_what_others_say(reviews, tmp_path, monkeypatch, batch_rows):
    monkeypatch.setattr(ngram_arrays, "BATCH_ROWS", batch_rows)
    path = tmp_path / "reviews.parquet"
    pq.write_table(reviews, path)
    encoder = TextEncoder(("good", "bad", "film", "not", "very", "at", "all", "a", "one"), vocabulary_size=20, maxlen=6)
    left_out = reviews["split"].to_pylist().index("test")
    write_arrays(path, encoder, np.array([left_out]), tmp_path)
    write_ngram_arrays(path, encoder, 2, tmp_path)
    model = NgramModel.load(tmp_path / "ngrams.npz")
    for split in ("train", "validation", "test"):
        rows = np.load(tmp_path / f"rows_{split}.npy")
        ids, log_ratios, logits = (np.load(tmp_path / f"{name}_{split}.npy") for name in ("ids", "log_ratios", "logits"))
        assert (log_ratios.shape, log_ratios.dtype) == ((len(rows), 6, 2), np.float16)
        assert (logits.shape, logits.dtype) == ((len(rows),), np.float32)
        served = encoder.read(reviews["text"].take(pa.array(rows)).to_pylist(), model)
        np.testing.assert_array_equal(ids, served.ids)
        alike = np.array_equal(log_ratios, served.log_ratios), np.array_equal(logits, served.logits)
        assert alike == ((False, False) if split == "train" else (True, True))
    assert left_out not in np.load(tmp_path / "rows_test.npy")
