"""Fitting a vocabulary."""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from tasks.served_model import tokenize


def fit_vocabulary(batches: Iterable[pa.Array], size: int) -> tuple[str, ...]:
    """Return the `size` most frequent words of the texts, most frequent first, ties in alphabetical order.

    Args:
        batches: arrays of texts, each (rows,) string.
        size: the number of words to keep at the most.
    """
    counts = pa.table({"word": pa.array([], pa.string()), "count": pa.array([], pa.int64())})
    for texts in batches:
        counted = pc.value_counts(tokenize(texts)[0])
        added = pa.table({"word": counted.field("values"), "count": counted.field("counts")})
        counts = (
            pa.concat_tables([counts, added]).group_by("word").aggregate([("count", "sum")]).rename_columns(["word", "count"])
        )
    ranked = counts.sort_by([("count", "descending"), ("word", "ascending")])
    return tuple(ranked["word"][:size].to_pylist())
