import keras
import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tasks.served_model import TextEncoder, pad, tokenize

RAGGED = st.lists(st.lists(st.integers(1, 60_000), max_size=12), min_size=1, max_size=8)
SIDES = st.sampled_from(["pre", "post"])


@given(rows=RAGGED, maxlen=st.integers(1, 10), padding=SIDES, truncating=SIDES)
def test_padding_equals_kerass(rows, maxlen, padding, truncating):
    flat = np.array([number for row in rows for number in row], np.uint16)
    ours = pad(flat, np.array([len(row) for row in rows]), maxlen=maxlen, padding=padding, truncating=truncating)
    theirs = keras.utils.pad_sequences(rows, maxlen=maxlen, padding=padding, truncating=truncating, value=0.0)
    assert ours.dtype == np.uint16
    np.testing.assert_array_equal(ours, theirs)


@given(texts=st.lists(st.text(st.characters(codec="ascii")), min_size=1, max_size=5))
def test_words_are_those_of_kerass_tokenizer(texts):
    words, lengths = tokenize(pa.array(texts))
    expected = [keras.src.legacy.preprocessing.text.text_to_word_sequence(text) for text in texts]
    assert words.to_pylist() == [word for row in expected for word in row]
    assert lengths.tolist() == [len(row) for row in expected]


def test_a_slice_and_a_null_are_tokenized_as_they_stand():
    words, lengths = tokenize(pa.array(["left out", "One, two!", None, "three"]).slice(1))
    assert words.to_pylist() == ["one", "two", "three"]
    assert lengths.tolist() == [2, 0, 1]


def test_ids_follow_kerass_layout():
    encoder = TextEncoder(("the", "film", "bad"), vocabulary_size=6, maxlen=4)
    ids, lengths = encoder.encode(pa.array(["The film", "bad Film?", ""]))
    # 1 starts a text, rank 1 has id 4; "bad" would have id 6, which is beyond the vocabulary's 6 ids 0 to 5.
    assert ids.tolist() == [1, 4, 5, 1, 2, 5, 1]
    assert lengths.tolist() == [3, 3, 1]
    assert encoder.read(["The film", "the the the the film", ""]).ids.tolist() == [
        [0, 1, 4, 5],
        [4, 4, 4, 5],
        [0, 0, 0, 1],
    ]


@given(texts=st.lists(st.text(), min_size=1, max_size=5))
def test_any_text_gives_ids_within_the_vocabulary(texts):
    encoder = TextEncoder(("a", "b"), vocabulary_size=6, maxlen=5)
    ids = encoder.read(texts).ids
    assert ids.shape == (len(texts), 5)
    assert ids.max() < 6


def test_an_unpaired_surrogate_is_an_unknown_character():
    encoder = TextEncoder(("a",), vocabulary_size=5, maxlen=3)
    assert encoder.read(["a \ud800 a"]).ids.tolist() == encoder.read(["a ? a"]).ids.tolist()


def test_an_encoder_reads_back_as_itself(tmp_path):
    encoder = TextEncoder(("é", "\x85", "it's"), vocabulary_size=10, maxlen=7, padding="post", truncating="post")
    encoder.save(tmp_path / "vocabulary.json")
    assert TextEncoder.load(tmp_path / "vocabulary.json") == encoder


def test_ids_of_the_real_npz_are_those_of_kerass_own_loader(real_imdb, tmp_path, monkeypatch):
    """`keras.datasets.imdb.load_data` on the same file, its download alone replaced by the local path."""
    from configs.schema import DataConfig, PaddingConfig
    from tasks.handles import ValidationReport
    from tasks.ingestion.task import ingest
    from tasks.padding.task import pad_reviews

    monkeypatch.setattr("keras.src.datasets.imdb.get_file", lambda *_, **__: str(real_imdb / "imdb.npz"))
    (x_train, y_train), (x_test, y_test) = keras.datasets.imdb.load_data(num_words=5000)
    rng = np.random.RandomState(113)  # load_data shuffles train, then test, from this seed
    orders = [_shuffled(rng) for _ in range(2)]

    def folder(name):
        (tmp_path / name).mkdir()
        return tmp_path / name

    reviews = ingest.__wrapped__(folder("reviews"), DataConfig(source="npz", path=str(real_imdb / "imdb.npz")))
    np.save(folder("report") / "excluded_rows.npy", np.array([], np.int64))
    report = ValidationReport(
        path=str(tmp_path / "report"), sha256="", passed=True, checks=0, failures=(), warnings=(), measured={}, excluded_rows=0
    )
    padded = pad_reviews.__wrapped__(folder("padded"), reviews, report, PaddingConfig())
    for first_row, splits, x, y, order in (
        (0, ("train", "validation"), x_train, y_train, orders[0]),
        (25_000, ("test",), x_test, y_test, orders[1]),
    ):
        rows = np.concatenate([np.load(padded.file(f"rows_{split}.npy")) for split in splits]) - first_row
        ids = np.concatenate([np.load(padded.file(f"ids_{split}.npy")) for split in splits])
        labels = np.concatenate([np.load(padded.file(f"labels_{split}.npy")) for split in splits])
        place = np.empty(25_000, np.int64)
        place[rows] = np.arange(25_000)
        np.testing.assert_array_equal(ids[place[order]], keras.utils.pad_sequences(x, maxlen=300, value=0.0))
        np.testing.assert_array_equal(labels[place[order]], y)


def _shuffled(rng):
    order = np.arange(25_000)
    rng.shuffle(order)
    return order
