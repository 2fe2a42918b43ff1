import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.benchmarks.synthetic_reviews import draw_lengths, generate_reviews, make_words, write_synthetic_reviews


def test_lengths_are_those_of_imdb():
    lengths = draw_lengths(np.random.default_rng(0), 50_000) + 1  # with the start marker
    assert lengths.mean() == pytest.approx(238.7, rel=0.01)
    assert (lengths <= 300).mean() == pytest.approx(0.764, abs=0.02)
    assert 1_800 < lengths.max() <= 2_494
    assert lengths.min() > 10


def test_words_are_different_and_frequent_ones_short():
    words = make_words(88_582)
    assert len(set(words)) == len(words) == 88_582
    assert [len(word) for word in words] == sorted(len(word) for word in words)


def test_reviews_are_the_same_for_a_seed_and_half_of_them_positive(tmp_path):
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        write_synthetic_reviews(tmp_path / name, 12_345, seed)
    one, again, other = (pq.read_table(tmp_path / name) for name in ("one", "again", "other"))
    assert one.equals(again)
    assert not one.equals(other)
    assert one.num_rows == 12_345
    assert one["label"].to_numpy().sum() == 12_345 // 2
    assert len(pc.unique(one["text"])) == 12_345


def test_words_come_up_by_zipf_s_law():
    (batch,) = generate_reviews(5_000)
    words = pc.split_pattern(batch["text"], " ").flatten()
    counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(words).to_pylist()}
    frequent = [counts[word] for word in make_words(100)]
    assert frequent[0] / len(words) == pytest.approx(np.log(2) / np.log(88_582), rel=0.05)
    assert frequent[9] / frequent[99] == pytest.approx(10, rel=0.2)
    assert len(counts) > 60_000
    assert len(words) / 5_000 == pytest.approx(237.7, rel=0.03)
    assert pc.mean(pc.utf8_length(batch["text"])).as_py() == pytest.approx(1_325, rel=0.15)
