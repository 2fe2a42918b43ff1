"""The linear model, on real reviews beside the same made of scikit-learn's parts."""

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from tasks.errors import DataError
from tasks.evaluation import baseline
from tasks.evaluation.baseline import fit_linear_model, read_train_reviews, score_rows
from tasks.evaluation.gate_rows import write_gate_rows
from tasks.evaluation.task import fit_baseline
from tasks.handles import GateRows, Reviews
from tasks.ngram_model import INVERSE_REGULARIZATION
from tasks.served_model import tokenize
from tasks.workspace import sha256_of_file


@pytest.fixture
def write(tmp_path):
    def write(texts, labels, splits):
        table = pa.table({"text": texts, "label": pa.array(labels, pa.int8()), "split": splits})
        pq.write_table(table, tmp_path / "reviews.parquet")
        return tmp_path / "reviews.parquet"

    return write


def pairs_of(reviews):
    """The text of each review, with its label."""
    return list(zip(reviews.texts.to_pylist(), reviews.labels.tolist(), strict=True))


@pytest.fixture
def slice_stage(real_slice, write, tmp_path):
    """What the stage makes of 600 train reviews and of 300 test reviews, some sealed."""
    table = pd.read_csv(real_slice)
    path = write(table["text"].tolist(), table["label"].to_numpy(), table["split"].tolist())
    sha256, rows, sealed = write_gate_rows(path, np.empty(0, np.int64), 0.2, tmp_path)
    reviews = Reviews(
        path=str(tmp_path), sha256="0", dataset="", source="", source_sha256="", rows={"test": 300}, has_vocabulary=False
    )
    gate_rows = GateRows(path=str(tmp_path), sha256=sha256, rows=rows, audit_rows=sealed)
    folder = tmp_path / "baseline"
    folder.mkdir()
    return table, gate_rows, fit_baseline.__wrapped__(folder, reviews, gate_rows)


def test_the_stage_scores_the_gate_rows_alone_as_scikit_learn_does(slice_stage):
    table, gate_rows, found = slice_stage
    predictions = pd.read_parquet(found.file("predictions.parquet"))
    gate = pd.read_parquet(gate_rows.file("gate.parquet"))
    assert 0 < gate_rows.audit_rows == 300 - len(gate)
    assert predictions["row"].tolist() == gate["row"].tolist()
    assert predictions["label"].tolist() == table["label"][gate["row"]].tolist()
    assert found.sha256 == sha256_of_file(found.file("predictions.parquet"))

    train = table[table["split"] == "train"]
    counter = CountVectorizer(
        ngram_range=(1, 2), min_df=2, binary=True, tokenizer=split, token_pattern=None, lowercase=False, dtype=np.float64
    )
    features, labels = counter.fit_transform(train["text"]), train["label"].to_numpy()
    assert (found.rows, found.train_rows, found.learnt_rows, found.ngrams) == (len(gate), 600, 600, features.shape[1])
    positive, negative = (1 + features[labels == label].sum(axis=0).A1 for label in (1, 0))
    ratios = np.log(positive / positive.sum() / (negative / negative.sum()))
    regression = LogisticRegression(C=INVERSE_REGULARIZATION, solver="liblinear", dual=True, max_iter=1000, random_state=0)
    regression.fit(features.multiply(ratios).tocsr(), labels)
    expected = regression.predict_proba(counter.transform(table["text"][gate["row"]]).multiply(ratios).tocsr())[:, 1]
    np.testing.assert_allclose(predictions["probability"], expected, atol=1e-4)  # columns in another order round otherwise


def split(text):
    return tokenize(pa.array([text]))[0].to_pylist()


def test_of_too_many_words_those_of_a_half_or_a_quarter_of_the_texts_are_learnt_from_in_whatever_order(write, monkeypatch):
    monkeypatch.setattr(baseline, "BATCH_ROWS", 64)
    texts = [" ".join(f"w{number}" for number in range(row, row + 10)) for row in range(1000)]
    labels, splits = np.arange(1000) % 2, ["train"] * 900 + ["test"] * 100
    everything = read_train_reviews(write(texts, labels, splits))
    assert pairs_of(everything) == list(zip(texts[:900], labels[:900].tolist(), strict=True))
    assert everything.available == 900

    drawn = {}
    for most in (5000, 2500, 1200):
        found = read_train_reviews(write(texts, labels, splits), most)
        assert most / 4 < 10 * len(found.texts) <= most
        assert found.available == 900
        drawn[most] = set(pairs_of(found))
        backwards = read_train_reviews(write(texts[::-1], labels[::-1], splits[::-1]), most)
        assert set(pairs_of(backwards)) == drawn[most]
    assert drawn[1200] < drawn[2500] < drawn[5000] < set(pairs_of(everything))


def test_rows_are_scored_by_their_text_alone(write, monkeypatch):
    texts = [f"{'good' if row % 2 else 'bad'} film {row % 7}" for row in range(200)]
    path = write(texts, np.arange(200) % 2, ["train"] * 100 + ["test"] * 100)
    model = fit_linear_model(read_train_reviews(path))
    rows = np.array([3, 104, 105, 106, 198])
    found = score_rows(model, path, rows)
    assert found.dtype == np.float32
    assert ((found > 0.5) == (rows % 2 == 1)).all()
    monkeypatch.setattr(baseline, "BATCH_ROWS", 10)
    np.testing.assert_array_equal(score_rows(model, path, rows), found)
    np.testing.assert_array_equal(model.probabilities(pa.array([texts[row] for row in rows])), found)
    unknown = model.probabilities(pa.array(["never seen", ""]))
    assert unknown[0] == unknown[1] == pytest.approx(1 / (1 + np.exp(-model.ngrams.intercept)))


@pytest.mark.parametrize(
    ("texts", "labels", "told"),
    [
        (["good", "good"], [1, 1], "2 train reviews are not of two classes"),
        (["good", "bad"], [1, 0], "no word of the vocabulary stands in 2 of 2 train reviews"),
        (["!", "?"], [1, 0], "no word of the vocabulary stands in 2 of 2 train reviews"),
    ],
)
def test_reviews_that_nothing_can_be_learnt_from_are_refused(write, texts, labels, told):
    with pytest.raises(DataError, match=re.escape(told)):
        fit_linear_model(read_train_reviews(write(texts, labels, ["train"] * 2)))


def test_without_train_reviews_there_is_nothing_to_learn(write):
    with pytest.raises(DataError, match="0 train reviews"):
        fit_linear_model(read_train_reviews(write(["good"], [1], ["test"])))


@pytest.mark.long
def test_on_imdb_it_has_91_of_100_gate_rows_right(real_imdb, tmp_path):
    from configs.loading import check_config, override, read_config
    from tasks.ingestion.task import ingest

    data = check_config(override(read_config("imdb"), ["data.source=npz", f"data.path={real_imdb / 'imdb.npz'}"]), "test").data
    folders = [tmp_path / name for name in ("reviews", "gate", "baseline")]
    for folder in folders:
        folder.mkdir()
    reviews = ingest.__wrapped__(folders[0], data)
    sha256, rows, sealed = write_gate_rows(reviews.file("reviews.parquet"), np.empty(0, np.int64), 0.2, folders[1])
    gate_rows = GateRows(path=str(folders[1]), sha256=sha256, rows=rows, audit_rows=sealed)
    found = fit_baseline.__wrapped__(folders[2], reviews, gate_rows)
    predictions = pd.read_parquet(found.file("predictions.parquet"))
    assert ((predictions["probability"] >= 0.5) == predictions["label"]).mean() >= 0.91
    assert (found.train_rows, found.learnt_rows) == (20_000, 20_000)
