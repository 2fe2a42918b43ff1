"""Any text becomes ids of the vocabulary, the same in training and serving, in time that grows as its length does."""

import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.served_model import FIRST_WORD_ID, SEPARATORS, START_ID, UNKNOWN_ID, TextEncoder

WORDS = ("the", "a", "film", "é", "ß", "i̇", "\x00", "\u200b", "😀", "עברית", "?")
PARTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [*WORDS, *SEPARATORS, " ", "\ud800", "\udfff", "\u202e", "\u2028", "\x1b[2J", "<br />", "THE", "İ", "ﬁ", "\ufeff"]
    ),
)
TEXTS = st.lists(st.lists(PARTS, max_size=30).map("".join), max_size=6)
ENCODERS = st.builds(
    TextEncoder,
    words=st.just(WORDS),
    vocabulary_size=st.integers(FIRST_WORD_ID + 1, 20),
    maxlen=st.integers(1, 40),
    padding=st.sampled_from(["pre", "post"]),
    truncating=st.sampled_from(["pre", "post"]),
)
SPACES = str.maketrans(dict.fromkeys(SEPARATORS, " "))


@pytest.mark.fault("fuzzed text")
@pytest.mark.parametrize("examples", [500, pytest.param(20_000, marks=pytest.mark.long)])
def test_any_text_becomes_ids_of_the_vocabulary_alike_in_training_and_serving(tmp_path, examples, tries):
    done = 0

    def check(texts, encoder):
        nonlocal done
        encoder.save(tmp_path / "vocabulary.json")
        served = TextEncoder.load(tmp_path / "vocabulary.json")
        assert served == encoder
        storable = [text.encode(errors="replace").decode() for text in texts]  # as every reader and the served model do
        ids, lengths = encoder.encode(pa.array(storable, pa.string()))
        assert lengths.tolist() == [1 + len([word for word in text.translate(SPACES).split(" ") if word]) for text in storable]
        assert len(ids) == lengths.sum()
        assert set(ids.tolist()) <= {START_ID, UNKNOWN_ID, *range(FIRST_WORD_ID, encoder.vocabulary_size)}
        trained = encoder.pad(ids, lengths)
        assert (trained.shape, trained.dtype) == ((len(texts), encoder.maxlen), np.uint16)
        alone = [served.read([text]).ids[0] for text in texts]
        np.testing.assert_array_equal(served.read(texts).ids, trained)
        np.testing.assert_array_equal(np.array(alone, np.uint16).reshape(trained.shape), trained)
        done += 1

    quick = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=examples < 1000,
        suppress_health_check=list(HealthCheck),
    )
    try:
        quick(given(TEXTS, ENCODERS)(check))()
    finally:
        tries(max(examples, done), done)
    assert done >= examples


@pytest.mark.fault("text hostile")
@pytest.mark.parametrize("part", ["word ", "w", " ", "!", "😀 ", "İ", "<br />", "\x00", "\ud800", "א\u202e "])
def test_a_text_takes_time_in_proportion_to_its_length(part):
    encoder = TextEncoder(WORDS, 20, 300)

    def seconds(length):
        text = part * (length // len(part))
        taken = []
        for _ in range(3):
            begun = time.process_time()
            encoder.read([text])
            taken.append(time.process_time() - begun)
        return min(taken)

    seconds(1000)
    short, long = seconds(250_000), seconds(2_000_000)
    assert long < 8 * 4 * short + 0.05
