"""What each word of a text adds to its probability: the difference that leaving it out makes."""

import re
from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tasks.scoring.scores import Prediction
from tasks.served_model import SEPARATORS
from tasks.serving.messages import Word

_WORD = re.compile(f"[^ {re.escape(SEPARATORS)}]+")


class Span(NamedTuple):
    """A word's place in its text."""

    start: int
    end: int


def find_words(text: str) -> list[Span]:
    """Return the words of a text as this release's model code cuts them; a version of another release may do it otherwise."""
    return [Span(*found.span()) for found in _WORD.finditer(text)]


def leave_out(text: str, words: Sequence[Span]) -> Iterator[str]:
    """Yield the text without each of the words in turn."""
    return (text[: word.start] + text[word.end :] for word in words)


def attribute(
    text: str, words: Sequence[Span], known_words: Set[str], whole: Prediction, without: Sequence[Prediction]
) -> list[Word]:
    """Return the words with what each adds to the probability.

    Args:
        text: the text.
        words: its words.
        known_words: the model's vocabulary.
        whole: what the model says of the text.
        without: what it says of the text without each word.
    """
    lower = pc.utf8_lower(pa.array([text[word.start : word.end] for word in words], pa.string())).to_pylist()
    return [
        Word(
            start=span.start,
            end=span.end,
            known=word in known_words,
            without=left.probability,
            change=whole.probability - left.probability,
        )
        for span, word, left in zip(words, lower, without, strict=True)
    ]
