"""Keras's imdb.npz layout: `x_train, y_train, x_test, y_test`, the x being lists of word ranks, beside a word index."""

import json
import zipfile
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import DataError, RepriseError
from tasks.ingestion.corpus import Corpus
from tasks.ingestion.files import Located, is_file, locate, open_file, parent
from tasks.ingestion.labels import LabelColumn, name_rows
from tasks.ingestion.pickled_arrays import RefusedPickleError, read_member
from tasks.ingestion.wording import list_names, shorten, tell_error

WORD_INDEX_NAMES = ("imdb_word_index.json", "word_index.json")
SPLITS_HELD = ("train", "test")
WANTED = ("x_train", "y_train", "x_test", "y_test")
ROWS_AT_ONCE = 5_000
MAX_ARRAY_BYTES = 1 << 27
"""Of the four arrays, unzipped: four times IMDB's. In memory they take some ten times as much."""
MAX_TEXT_BYTES = 1 << 23
MAX_CHUNK_BYTES = 1 << 26
MAX_WORD_LETTERS = 1_000
MAX_INDEX_BYTES = 1 << 26


def read_npz(path: str, word_index: str | None, negative: list[str], positive: list[str]) -> Corpus:
    """Read an npz as text: the words of its ranks, joined with single spaces as the texts are iterated.

    Splitting a text on the space character alone gives its ranks back through the vocabulary; an empty review is "".

    Args:
        path: The npz.
        word_index: Its word index, or None to look beside it.
        negative: Labels that count as negative.
        positive: Labels that count as positive.

    Raises:
        DataError: Either file is missing, unreadable, of another layout, or holds a pickle of anything but lists of ints;
            as the texts are read, a rank is not in the word index.
        DownloadError: A file's host did not deliver it.
    """
    file = locate(path)
    vocabulary = read_word_index(find_word_index(path, word_index))
    members = _read_members(file)
    words = pa.array(["", *vocabulary], pa.string())
    ranks, labels = [], []
    for split in SPLITS_HELD:
        rows = _check_ranks(members[f"x_{split}"], f"{file.name}: x_{split}")
        values = members[f"y_{split}"]
        if not isinstance(values, np.ndarray) or values.shape != (len(rows),):
            raise DataError(f"{file.name}: y_{split} is no array of {len(rows)} labels, one for each row of x_{split}")
        column = LabelColumn(negative, positive, column=f"y_{split}", where=file.name)
        try:
            column.add(pa.array(values.astype(values.dtype.newbyteorder("="))))
        except (ValueError, TypeError, pa.ArrowException) as error:
            raise DataError(f"{file.name}: y_{split} is an array of {values.dtype}, which cannot be labels") from error
        labels.append(column.labels())
        ranks.append(rows)
    texts = chain(
        *(_spell_ranks(rows, words, f"{file.name}: x_{split}") for split, rows in zip(SPLITS_HELD, ranks, strict=True))
    )
    splits = np.repeat(np.array(SPLITS_HELD, dtype=object), [len(rows) for rows in ranks])
    return Corpus(texts, np.concatenate(labels), splits, vocabulary)


def find_word_index(path: str, word_index: str | None) -> Located:
    """Return the word index given, or the one beside the npz.

    Raises:
        DataError: There is none.
    """
    if word_index is not None:
        return locate(word_index)
    folder = locate(parent(path))
    for name in WORD_INDEX_NAMES:
        if is_file(folder.join(name)):
            return folder.join(name)
    looked_for = " or ".join(folder.join(name).name for name in WORD_INDEX_NAMES)
    raise DataError(
        f"no word index for {locate(path).name}: no such file: {looked_for}; name one with --set data.word_index=PATH"
    )


def read_word_index(file: Located) -> list[str]:
    """Return the words of a JSON object of word -> rank, from rank 1 on.

    Raises:
        DataError: The file is missing or unreadable, its ranks are not 1, 2, 3, ..., or a word is none to the tokenizer, which
            would then not give its rank back.
    """
    from tasks.served_model import tokenize  # imports MLflow, for which looking at a path must not wait

    with open_file(file) as stream:
        content = stream.read(MAX_INDEX_BYTES + 1)
    if len(content) > MAX_INDEX_BYTES:
        raise DataError(f"{file.name} is no word index: it is longer than {MAX_INDEX_BYTES >> 20} MiB")
    try:
        ranks = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file.name} is no word index: not JSON ({tell_error(error)})") from error
    if not isinstance(ranks, dict) or not ranks or set(map(type, ranks.values())) != {int}:
        raise DataError(f"{file.name} is no word index: not a JSON object of word -> rank")
    words = sorted(ranks, key=ranks.__getitem__)
    if [ranks[words[0]], ranks[words[-1]], len(set(ranks.values()))] != [1, len(words), len(words)]:
        raise DataError(f"{file.name} is no word index: its ranks are not 1 to {len(words)}, each once")
    for word in words:
        if not word or " " in word:
            raise DataError(f"{file.name} is no word index: the word {shorten(repr(word))} is empty or holds a space")
        if len(word) > MAX_WORD_LETTERS:
            raise DataError(f"{file.name} is no word index: it has a word of more than {MAX_WORD_LETTERS:,} letters")
        if any("\ud800" <= letter <= "\udfff" for letter in word):
            raise DataError(f"{file.name} is no word index: the word {word!r} is no valid text")
    found, lengths = tokenize(pa.array(words, pa.string()))
    if (lengths != 1).any():
        word = words[int((lengths != 1).argmax())]
        raise DataError(f"{file.name} is no word index: the tokenizer takes {word!r} for more than one word, or for none")
    other = pc.not_equal(found, pa.array(words, pa.string())).to_numpy(zero_copy_only=False)
    if other.any():
        first = int(other.argmax())
        told = f"the tokenizer writes {words[first]!r} in another way, as {found[first]}"
        raise DataError(f"{file.name} is no word index: {told}")
    return words


def _read_members(file: Located) -> dict[str, Any]:
    try:
        with open_file(file) as stream, zipfile.ZipFile(stream) as archive:
            _check_names(archive.namelist(), file.name)
            size = sum(archive.getinfo(f"{name}.npy").file_size for name in WANTED)
            if size > MAX_ARRAY_BYTES:
                raise DataError(
                    f"{file.name} unzips to {size:,} bytes, and at most {MAX_ARRAY_BYTES:,} are read: give it as Parquet"
                )
            return {name: read_member(archive.read(f"{name}.npy")) for name in WANTED}
    except RefusedPickleError as error:
        raise DataError(f"{file.name} was not loaded, for {error}; nothing in it was executed") from error
    except RepriseError:
        raise
    except Exception as error:  # damaged bytes make zipfile, zlib, numpy and pickle raise almost anything
        raise DataError(f"{file.name} is no readable npz file: {tell_error(error)}") from error


def _check_names(names: list[str], where: str) -> None:
    outside = next((name for name in names if "/" in name or "\\" in name), None)
    if outside is not None:
        raise DataError(f"{where} was not loaded, for its member {shorten(repr(outside))} names a place outside it")
    if len(set(names)) != len(names):
        raise DataError(f"{where} was not loaded, for it holds a member of the same name twice")
    missing = [name for name in WANTED if f"{name}.npy" not in names]
    if missing:
        has = list_names(sorted(name.removesuffix(".npy") for name in names)) or "nothing"
        raise DataError(f"{where} has no {', '.join(missing)}; it holds {has}")


def _check_ranks(rows: np.ndarray | list[Any], where: str) -> list[list[int]]:
    if not isinstance(rows, list):
        raise DataError(f"{where} is an array of {rows.dtype} and shape {rows.shape}, not of lists of word ranks")
    if set(map(type, rows)) - {list}:
        bad = name_rows(np.array([type(row) is not list for row in rows]))
        raise DataError(f"{where} holds something else than a list of word ranks in {bad}")
    if set(map(type, chain.from_iterable(rows))) - {int}:
        bad = name_rows(np.array([bool(set(map(type, row)) - {int}) for row in rows]))
        raise DataError(f"{where} holds something else than whole numbers in {bad}")
    return rows


def _spell_ranks(rows: list[list[int]], words: pa.Array, where: str) -> Iterator[pa.Array]:
    """Yield each row's words joined with a space, some rows at a time; `words[0]` stands for no rank."""
    widths = pc.binary_length(words).to_numpy().astype(np.int64) + 1
    for start in range(0, len(rows), ROWS_AT_ONCE):
        chunk = rows[start : start + ROWS_AT_ONCE]
        lengths = np.fromiter(map(len, chunk), np.int64, len(chunk))
        ranks = _flatten(chunk, start, lengths, len(words), where)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        sizes = np.diff(np.concatenate([[0], np.cumsum(widths[ranks])])[offsets])
        if (sizes > MAX_TEXT_BYTES).any():
            bad = np.concatenate([np.zeros(start, dtype=bool), sizes > MAX_TEXT_BYTES])
            raise DataError(f"{where} spells a text of more than {MAX_TEXT_BYTES >> 20} MiB in {name_rows(bad)}")
        for first, last in _cut(sizes):
            begin, end = offsets[first], offsets[last]
            spelled = words.take(pa.array(ranks[begin:end]))
            yield pc.binary_join(pa.LargeListArray.from_arrays(pa.array(offsets[first : last + 1] - begin), spelled), " ")


def _flatten(chunk: list[list[int]], start: int, lengths: np.ndarray, words: int, where: str) -> np.ndarray:
    """Return the ranks of all rows one after the other, int64, each of which has a word."""
    try:
        ranks = np.fromiter(chain.from_iterable(chunk), np.int64, lengths.sum())
    except OverflowError:
        raise DataError(f"{where} holds ranks that are not in the word index") from None
    outside = (ranks < 1) | (ranks >= words)
    if outside.any():
        bad = np.zeros(start + len(chunk), dtype=bool)
        bad[start + np.repeat(np.arange(len(chunk)), lengths)[outside]] = True
        raise DataError(f"{where} holds rank {ranks[outside][0]} in {name_rows(bad)}; the word index has 1 to {words - 1}")
    return ranks


def _cut(sizes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the first row and the end of pieces of at most `MAX_CHUNK_BYTES`, or of one row; sizes (rows,) in bytes."""
    ends = np.cumsum(sizes)
    first = 0
    while first < len(sizes):
        limit = (ends[first - 1] if first else 0) + MAX_CHUNK_BYTES
        last = max(first + 1, int(np.searchsorted(ends, limit, side="right")))
        yield first, last
        first = last
