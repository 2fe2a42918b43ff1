"""Fitting a vocabulary."""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from tasks.served_model import tokenize

COUNTS = pa.schema([("word", pa.string()), ("count", pa.int64())])


def fit_vocabulary(batches: Iterable[pa.Array], size: int) -> tuple[str, ...]:
    """Return the `size` most frequent words of the texts, most frequent first, ties in alphabetical order.

    Args:
        batches: arrays of texts, each (rows,) string.
        size: the number of words to keep at the most.
    """
    counts = _count([])
    added: list[pa.Table] = []
    for texts in batches:
        counted = pc.value_counts(tokenize(texts)[0])
        added.append(pa.table([counted.field("values"), counted.field("counts")], schema=COUNTS))
        # Summed when it has grown as long as what is summed already: each word is summed few times, however many batches.
        if sum(map(len, added)) >= len(counts):
            counts, added = _count([counts, *added]), []
    ranked = _count([counts, *added]).sort_by([("count", "descending"), ("word", "ascending")])
    return tuple(ranked["word"][:size].to_pylist())


def _count(tables: list[pa.Table]) -> pa.Table:
    together = pa.concat_tables([COUNTS.empty_table(), *tables])
    return together.group_by("word").aggregate([("count", "sum")]).rename_columns(COUNTS.names).cast(COUNTS)
