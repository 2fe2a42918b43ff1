import io
import json
import os
import pickle
import zipfile

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import DataError
from tasks.ingestion.npz import find_word_index, read_npz, read_word_index
from tests.ingestion.conftest import table_of

WORDS = ["the", "and", "film", "get\x85a", "\xa0", "good"]
LABELS = (["0"], ["1"])


def read(path, word_index=None):
    """Return what is read as a table, and the vocabulary."""
    corpus = read_npz(str(path), word_index and str(word_index), *LABELS)
    return table_of(corpus), corpus.vocabulary


def replace_member(path, name, content):
    """Rewrite one member of an npz."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for member, old in members.items():
            archive.writestr(member, content if member == name else old)


def object_member(pickled):
    """Return an `.npy` file of two objects whose pickle is the given one."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": (2,)})
    return stream.getvalue() + pickled


def test_ranks_become_words_in_source_order_with_train_first(write_npz):
    table, vocabulary = read(write_npz([[3, 6], [1, 4, 5, 2]], [1, 0], [[6], [6, 6]], [0, 1], WORDS))
    assert table.to_pylist() == [
        {"text": "film good", "label": 1, "split": "train"},
        {"text": "the get\x85a \xa0 and", "label": 0, "split": "train"},
        {"text": "good", "label": 0, "split": "test"},
        {"text": "good good", "label": 1, "split": "test"},
    ]
    assert vocabulary == WORDS


rank_lists = st.lists(st.lists(st.integers(1, len(WORDS)), min_size=1, max_size=40), min_size=1, max_size=12)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=rank_lists)
def test_a_text_split_on_spaces_gives_its_ranks_back(write_npz, rows):
    table, vocabulary = read(write_npz(rows, [0] * len(rows), rows[::-1], [1] * len(rows), WORDS))
    rank = {word: number for number, word in enumerate(vocabulary, start=1)}
    back = [[rank[word] for word in text.split(" ")] for text in table["text"].to_pylist()]
    assert back == rows + rows[::-1]


def test_more_rows_than_are_spelled_at_once_keep_their_order(write_npz):
    rows = [[1 + number % 6] * (1 + number % 3) for number in range(12_001)]
    texts = read(write_npz(rows, [0] * len(rows), [[1]], [1], WORDS))[0]["text"].to_pylist()
    assert texts[:-1] == [" ".join(WORDS[rank - 1] for rank in row) for row in rows]


def test_an_empty_review_is_blank_text_for_validation_to_see(write_npz):
    assert read(write_npz([[], [1]], [0, 1], [[1]], [1], WORDS))[0]["text"].to_pylist() == ["", "the", "the"]


class Gadget:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def as_array_of(*items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


@pytest.mark.fault("npz hostile")
@pytest.mark.parametrize("where", ["whole", "item", "nested"])
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(write_npz, tmp_path, where, protocol):
    marker = tmp_path / "executed"
    gadget = Gadget(marker)
    payload = {"whole": gadget, "item": as_array_of([1], gadget), "nested": as_array_of([1], [1, gadget])}[where]
    pickled = pickle.dumps(payload, protocol=protocol)
    path = write_npz([[1], [2]], [0, 1], [[1], [2]], [0, 1], WORDS)
    replace_member(path, "x_test.npy", object_member(pickled))

    with pytest.raises(DataError, match=r"reviews\.npz was not loaded.*nothing in it was executed"):
        read(path)
    assert not marker.exists()

    with np.load(path, allow_pickle=True) as archive:  # the file is a loaded gun: NumPy's own loader fires it
        archive["x_test"]
    assert marker.is_dir()


@pytest.mark.fault("npz hostile")
@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (pickle.dumps([1, 2]), "it is no array"),
        (pickle.dumps(np.array([1.5, 2.5])), "not of objects|asks to run"),
        (pickle.dumps(np.array([[[1], None], [None, None]], dtype=object)), "no one-dimensional array"),
        (pickle.dumps({1, 2}), "it holds what no array of lists of numbers takes"),
        (b"\x80\x04cnumpy\nndarray\n.", "it is no array"),
    ],
)
def test_a_pickle_of_anything_but_a_row_of_objects_is_refused(write_npz, pickled, message):
    path = write_npz([[1], [2]], [0, 1], [[1], [2]], [0, 1], WORDS)
    replace_member(path, "x_train.npy", object_member(pickled))
    with pytest.raises(DataError, match=message):
        read(path)


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("core", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_arrays_that_any_numpy_wrote_are_read(write_npz, protocol, core):
    path = write_npz([[1], [2]], [0, 1], [[1], [2]], [0, 1], WORDS)
    pickled = pickle.dumps(as_array_of([6, 3], [3]), protocol=protocol)
    if protocol >= 4:  # drop the frame, whose length would no longer be right, and rewrite the name's own length
        pickled = pickled[:2] + pickled[11:]
    old = b"numpy._core.multiarray"
    pickled = pickled.replace(bytes([len(old)]) + old, bytes([len(core)]) + core).replace(b"c" + old, b"c" + core)
    assert core in pickled
    replace_member(path, "x_train.npy", object_member(pickled))
    assert read(path)[0]["text"].to_pylist()[:2] == ["good film", "film"]


@pytest.mark.fault("npz hostile")
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1], [2, 7]], "x_train holds rank 7 in row 2; the word index has 1 to 6"),
        ([[1], [0]], "x_train holds rank 0 in row 2"),
        ([[-1], [1]], "x_train holds rank -1 in row 1"),
        ([[1], [2**70]], "ranks that are not in the word index"),
        ([[1], [2.0]], "something else than whole numbers in row 2"),
        ([[1], [True]], "something else than whole numbers in row 2"),
        ([[1], ["1"]], "something else than whole numbers in row 2"),
        ([[1], (1, 2, 3)], "something else than a list of word ranks in row 2"),
    ],
)
def test_rows_that_are_no_known_ranks_are_refused(write_npz, rows, message):
    with pytest.raises(DataError, match=message):
        read(write_npz(rows, [0, 1], [[1]], [1], WORDS))


def test_a_plain_array_of_numbers_is_refused(tmp_path, write_npz):
    path = write_npz([[1]], [0], [[1]], [1], WORDS)
    np.savez(path, x_train=np.ones((2, 3), int), y_train=np.array([0, 1]), x_test=np.ones((2, 3), int), y_test=np.array([0, 1]))
    with pytest.raises(DataError, match=r"x_train is an array of int64 and shape \(2, 3\), not of lists of word ranks"):
        read(path)


@pytest.mark.fault("npz hostile")
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 2], "column 'y_train' holds 2 in row 2"),
        ([0.0, 1.0], r"column 'y_train' holds 0\.0 in row 1"),
        ([0, 1, 1], "y_train is no array of 2 labels"),
        ([[0], [1]], "y_train is no array of 2 labels"),
    ],
)
def test_labels_that_do_not_fit_are_refused(write_npz, labels, message):
    with pytest.raises(DataError, match=message):
        read(write_npz([[1], [2]], labels, [[1]], [1], WORDS))


def test_a_missing_array_is_named_and_so_are_those_present(tmp_path):
    np.savez(tmp_path / "other.npz", x_train=np.arange(3), y_train=np.arange(3))
    (tmp_path / "word_index.json").write_text('{"a": 1}')
    with pytest.raises(DataError, match=r"has no x_test, y_test; it holds 'x_train', 'y_train'"):
        read(tmp_path / "other.npz")


@pytest.mark.fault("npz hostile")
@pytest.mark.parametrize("damage", ["empty", "text", "cut", "flipped"])
def test_a_damaged_file_is_refused(write_npz, damage):
    path = write_npz([[1, 2, 3]] * 50, [0, 1] * 25, [[1]], [1], WORDS)
    whole = path.read_bytes()
    middle = whole.index(b"(]") + 40
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    path.write_bytes({"empty": b"", "text": b"<html>", "cut": whole[: len(whole) // 2], "flipped": flipped}[damage])
    with pytest.raises(DataError, match=r"reviews\.npz is no readable npz file"):
        read(path)


def test_no_word_index_says_what_was_looked_for_and_what_to_do(write_npz, tmp_path):
    path = write_npz([[1]], [0], [[1]], [1])
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(tmp_path / "imdb_word_index.json") in str(caught.value)
    assert "--set data.word_index=PATH" in str(caught.value)


def test_the_word_index_given_goes_before_the_one_beside(write_npz, tmp_path):
    path = write_npz([[1]], [0], [[1]], [1], WORDS)
    other = tmp_path / "mine.json"
    other.write_text('{"word": 1}')
    assert read(path, other)[1] == ["word"]
    assert read(path)[1] == WORDS


def test_a_second_name_beside_the_npz_is_found(write_npz, tmp_path):
    path = write_npz([[1]], [0], [[1]], [1])
    (tmp_path / "word_index.json").write_text('{"word": 1}')
    assert read_word_index(find_word_index(str(path), None)) == ["word"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ('["a"]', "not a JSON object"),
        ("{}", "not a JSON object"),
        ('{"a": "1"}', "not a JSON object"),
        ('{"a": true}', "not a JSON object"),
        ('{"a": 0, "b": 1}', "ranks are not 1 to 2, each once"),
        ('{"a": 1, "b": 1}', "ranks are not 1 to 2, each once"),
        ('{"a": 1, "b": 3}', "ranks are not 1 to 2, each once"),
        ('{"a b": 1}', "'a b' is empty or holds a space"),
        ('{"": 1}', "'' is empty or holds a space"),
        ('{"good": 1, "well-known": 2}', "'well-known' for more than one word"),
        ('{"good": 1, "!": 2}', "'!' for more than one word, or for none"),
        ('{"good": 1, "Film": 2}', "'Film' in another way, as film"),
        ('{"\\ud800": 1}', "no valid text"),
    ],
)
def test_a_word_index_of_another_shape_is_refused(write_npz, tmp_path, content, message):
    path = write_npz([[1]], [0], [[1]], [1])
    (tmp_path / "word_index.json").write_text(content)
    with pytest.raises(DataError, match=f"word_index.json is no word index: .*{message}"):
        read(path)


@pytest.fixture(scope="session")
def real_corpus(real_imdb):
    return read(real_imdb / "imdb.npz")


def test_real_ranks_come_back_from_every_text(real_imdb, real_corpus):
    table, vocabulary = real_corpus
    with np.load(real_imdb / "imdb.npz", allow_pickle=True) as archive:
        rows = [*archive["x_train"], *archive["x_test"]]
        labels = np.concatenate([archive["y_train"], archive["y_test"]])
    words = pc.split_pattern(table["text"].combine_chunks(), " ")
    index = {word: rank for rank, word in enumerate(vocabulary, start=1)}
    encoded = words.flatten().dictionary_encode()
    ranks = np.array([index[word] for word in encoded.dictionary.to_pylist()])[encoded.indices.to_numpy()]
    assert np.array_equal(np.diff(words.offsets.to_numpy()), [len(row) for row in rows])
    assert np.array_equal(ranks, np.concatenate(rows))
    assert np.array_equal(table["label"], labels)


def test_the_real_word_index_keeps_its_ranks(real_imdb, real_corpus):
    index = json.loads((real_imdb / "imdb_word_index.json").read_text())
    assert {word: rank for rank, word in enumerate(real_corpus[1], start=1)} == index
