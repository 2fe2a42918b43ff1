"""Keras's imdb.npz layout: `x_train, y_train, x_test, y_test`, the x being lists of word ranks, beside a word index."""

import io
import json
import zipfile
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import DataError
from tasks.ingestion.corpus import Corpus
from tasks.ingestion.files import Located, is_file, locate, parent, read_bytes
from tasks.ingestion.labels import LabelColumn, name_rows
from tasks.ingestion.pickled_arrays import RefusedPickleError, read_member

WORD_INDEX_NAMES = ("imdb_word_index.json", "word_index.json")
SPLITS_HELD = ("train", "test")
ROWS_AT_ONCE = 5_000


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
        column.add(pa.array(values))
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

    try:
        ranks = json.loads(read_bytes(file))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file.name} is no word index: not JSON ({error})") from error
    if not isinstance(ranks, dict) or not ranks or set(map(type, ranks.values())) != {int}:
        raise DataError(f"{file.name} is no word index: not a JSON object of word -> rank")
    words = sorted(ranks, key=ranks.__getitem__)
    if [ranks[words[0]], ranks[words[-1]], len(set(ranks.values()))] != [1, len(words), len(words)]:
        raise DataError(f"{file.name} is no word index: its ranks are not 1 to {len(words)}, each once")
    for word in words:
        if not word or " " in word:
            raise DataError(f"{file.name} is no word index: the word {word!r} is empty or holds a space")
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
    content = read_bytes(file)
    wanted = ("x_train", "y_train", "x_test", "y_test")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = set(archive.namelist())
            missing = [name for name in wanted if f"{name}.npy" not in names]
            if missing:
                has = ", ".join(sorted(name.removesuffix(".npy") for name in names)) or "nothing"
                raise DataError(f"{file.name} has no {', '.join(missing)}; it holds {has}")
            return {name: read_member(archive.read(f"{name}.npy")) for name in wanted}
    except RefusedPickleError as error:
        raise DataError(f"{file.name} was not loaded, for {error}; nothing in it was executed") from error
    except DataError:
        raise
    except Exception as error:  # damaged bytes make zipfile, zlib, numpy and pickle raise almost anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{file.name} is no readable npz file: {reason}") from error


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
    """Yield each row's words joined with a space, chunk by chunk; `words[0]` stands for no rank."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield _spell_chunk(rows, start, words, where)


def _spell_chunk(rows: list[list[int]], start: int, words: pa.Array, where: str) -> pa.Array:
    chunk = rows[start : start + ROWS_AT_ONCE]
    lengths = np.fromiter(map(len, chunk), np.int64, len(chunk))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    try:
        ranks = np.fromiter(chain.from_iterable(chunk), np.int64, offsets[-1])
    except OverflowError:
        raise DataError(f"{where} holds ranks that are not in the word index") from None
    if len(ranks) and (ranks.min() < 1 or ranks.max() >= len(words)):
        outside = (ranks < 1) | (ranks >= len(words))
        bad = np.zeros(start + len(chunk), dtype=bool)
        bad[start + np.repeat(np.arange(len(chunk)), lengths)[outside]] = True
        raise DataError(f"{where} holds rank {ranks[outside][0]} in {name_rows(bad)}; the word index has 1 to {len(words) - 1}")
    spelled = pa.LargeListArray.from_arrays(pa.array(offsets), words.take(pa.array(ranks)))
    return pc.binary_join(spelled, " ")
