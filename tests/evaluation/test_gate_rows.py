"""The division of the test split: by content alone, for good."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluation.gate_rows import find_sealed, identify_rows, write_gate_rows
from tasks.text_digests import digest_texts

TEXTS = pa.array([f"review {number}" for number in range(4000)])


@pytest.fixture
def write(tmp_path):
    def write(texts, labels, splits, *, excluded=(), audit_fraction=0.25):
        table = pa.table({"text": texts, "label": pa.array(labels, pa.int8()), "split": splits})
        pq.write_table(table, tmp_path / "reviews.parquet")
        excluded = np.array(excluded, dtype=np.int64)
        sha256, *rows = write_gate_rows(tmp_path / "reviews.parquet", excluded, audit_fraction, tmp_path)
        files = [pq.read_table(tmp_path / f"{name}.parquet") for name in ("gate", "audit", "training")]
        return sha256, rows, *files

    return write


@given(st.floats(0, 0.9), st.floats(0, 0.09))
def test_a_larger_fraction_opens_no_sealed_row(fraction, more):
    digests = digest_texts(TEXTS[:200])
    assert not (find_sealed(digests, fraction) & ~find_sealed(digests, fraction + more)).any()


def test_the_share_of_sealed_rows_is_the_one_asked_for():
    digests = digest_texts(TEXTS)
    assert find_sealed(digests, 0.25).mean() == pytest.approx(0.25, abs=0.03)
    assert not find_sealed(digests, 0.0).any()


def test_every_test_row_stands_on_one_side_and_train_rows_on_none(write):
    texts = [f"review number {number}" for number in range(60)]
    labels = [number % 2 for number in range(60)]
    splits = ["test" if number % 3 == 0 else "train" for number in range(59)] + ["validation"]
    sha256, rows, gate, audit, training = write(texts, labels, splits, excluded=[3])
    kept = [number for number in range(0, 59, 3) if number != 3]
    assert sorted(gate["row"].to_pylist() + audit["row"].to_pylist()) == kept
    assert rows == [len(gate), len(audit)]
    assert gate["label"].to_pylist() == [number % 2 for number in gate["row"].to_pylist()]
    assert gate["words"].to_pylist() == [3] * len(gate)
    assert len(training) == 40
    assert training["digest"].to_pylist() == sorted(training["digest"].to_pylist())
    assert sha256 == identify_rows(gate["digest"], gate["label"])


def test_the_same_reviews_in_another_order_are_the_same_gate_and_another_label_is_not(write):
    texts, labels = TEXTS[:100].to_pylist(), [number % 2 for number in range(100)]
    first = write(texts, labels, ["test"] * 100)
    reversed_ = write(texts[::-1], labels[::-1], ["test"] * 100)
    assert first[0] == reversed_[0]
    assert set(first[3]["digest"].to_pylist()) == set(reversed_[3]["digest"].to_pylist())
    changed = first[2]["row"][0].as_py()
    labels[changed] = 1 - labels[changed]
    assert write(texts, labels, ["test"] * 100)[0] != first[0]
