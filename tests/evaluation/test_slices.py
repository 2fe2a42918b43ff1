import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import DataError, ModelMismatch
from tasks.evaluation.intervals import wilson_interval
from tasks.evaluation.slices import measure_slices, split_by_length

SETTINGS = {"bands": [100, 200, 300], "threshold": 0.5, "confidence": 0.95}


def test_known_slices():
    labels = np.array([0, 1, 1, 0, 1], dtype=np.int8)
    probabilities = np.array([0.1, 0.9, 0.2, 0.8, 0.7])
    found = measure_slices(labels, probabilities, np.array([1, 100, 101, 301, 5000]), **SETTINGS)
    assert [(part.name, part.rows, part.accuracy) for part in found] == [
        ("1-100 words", 2, wilson_interval(2, 2, 0.95)),
        ("101-200 words", 1, wilson_interval(0, 1, 0.95)),
        ("over 300 words", 2, wilson_interval(1, 2, 0.95)),
        ("negative", 2, wilson_interval(1, 2, 0.95)),
        ("positive", 3, wilson_interval(2, 3, 0.95)),
    ]


def test_bands_of_one_length_and_reviews_without_a_word_are_named_so():
    masks = split_by_length(np.array([0, 1, 2, 3, 4]), [1, 2])
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {
        "0 words": 1,
        "1 word": 1,
        "2 words": 1,
        "over 2 words": 2,
    }


@given(
    st.lists(st.integers(0, 500), min_size=1, max_size=50),
    st.lists(st.integers(1, 450), min_size=1, max_size=6, unique=True).map(sorted),
)
def test_bands_hold_each_row_once(lengths, bands):
    masks = split_by_length(np.array(lengths), bands)
    assert (np.sum(list(masks.values()), axis=0) == 1).all()
    assert all(mask.any() for mask in masks.values())


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_slices_add_up_to_the_whole(seed):
    generator = np.random.default_rng(seed)
    labels = np.append([0, 1], generator.integers(0, 2, 50))
    probabilities = generator.random(52)
    found = measure_slices(labels, probabilities, generator.integers(0, 500, 52), **SETTINGS)
    right = int(((probabilities >= 0.5) == labels).sum())
    for parts in (found[:-2], found[-2:]):
        assert sum(part.rows for part in parts) == 52
        assert sum(round(part.rows * part.accuracy.value) for part in parts) == right


def test_unfit_input_is_refused():
    labels, probabilities = np.array([0, 1]), np.array([0.2, 0.8])
    with pytest.raises(DataError, match="3 lengths for 2 labels"):
        measure_slices(labels, probabilities, np.array([1, 2, 3]), **SETTINGS)
    with pytest.raises(DataError, match="0 words or more"):
        measure_slices(labels, probabilities, np.array([1, -1]), **SETTINGS)
    with pytest.raises(ModelMismatch):
        measure_slices(labels, np.array([0.2, np.nan]), np.array([1, 2]), **SETTINGS)
