"""A table in parts of so many rows: each a spool file to be scored, and a folder for its scores that outlives a kill."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.disk_space import writing
from tasks.handles import Handle
from tasks.ingestion.table_formats import PARQUET_ROWS
from tasks.parquet_batches import iterate_batches, open_parquet
from tasks.scoring.reading import Rows
from tasks.scoring.scores import SCORES, Predict, score
from tasks.workspace import is_whole, published

SCORES_FILE = "scores.parquet"
TEXTS, FAULTS = "texts", "faults"


class Part(Handle):
    """Rows that are scored together.

    `spool` is a Parquet file of their texts and faults, and of the columns to keep, named by number; `scores` the folder
    that holds their `SCORES` once they are scored. `first` counts from 0.
    """

    spool: str
    scores: str
    first: int
    rows: int

    def is_scored(self) -> bool:
        """Tell whether the scores are there, bytes unchanged."""
        return is_whole(Path(self.scores))


def spool_parts(batches: Iterable[Rows], rows_per_part: int, *, spool: Path, scores: Path) -> Iterator[Part]:
    """Write a table's rows to one spool file after another, and yield each part once its file is whole.

    Args:
        batches: the rows in order.
        rows_per_part: the rows of each part but the last.
        spool: the folder for the spool files.
        scores: the folder for the folders of the scores.

    Raises:
        DiskFull: there is no room for a spool file.
    """
    with writing(spool, "the rows to be scored in"):
        yield from _spool(batches, rows_per_part, spool, scores)


def _spool(batches: Iterable[Rows], rows_per_part: int, spool: Path, scores: Path) -> Iterator[Part]:
    first, rows = 0, 0
    writer: pq.ParquetWriter | None = None
    path = spool

    def part() -> Part:
        return Part(spool=str(path), scores=str(scores / f"{first:012}-{rows}"), first=first, rows=rows)

    try:
        for batch in batches:
            columns = _spooled(batch)
            while len(columns):
                if writer is None:
                    path = spool / f"{first:012}.parquet"
                    writer = pq.ParquetWriter(path, columns.schema, compression="lz4", use_dictionary=False)
                taken = columns.slice(0, rows_per_part - rows)
                writer.write_batch(taken)
                columns, rows = columns.slice(len(taken)), rows + len(taken)
                if rows == rows_per_part:
                    writer.close()
                    writer = None
                    yield part()
                    first, rows = first + rows, 0
        if writer is not None:
            writer.close()
            writer = None
            yield part()
    finally:
        if writer is not None:
            writer.close()


def score_part(part: Part, predict: Predict) -> None:
    """Score a part's texts, a batch at a time, and publish the scores.

    Raises:
        ModelMismatch: the model gave something else than one probability for each text.
    """
    with (
        published(Path(part.scores)) as folder,
        closing(open_parquet(Path(part.spool))) as file,
        pq.ParquetWriter(folder / SCORES_FILE, SCORES) as writer,
    ):
        for batch in iterate_batches(file, PARQUET_ROWS, [TEXTS, FAULTS]):
            writer.write_batch(score(batch[TEXTS], batch[FAULTS], predict))


def join_scores(part: Part, kept: pa.Schema) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Yield a scored part's rows in order: batches of the columns kept, and of their scores."""
    scores = pq.read_table(Path(part.scores) / SCORES_FILE, schema=SCORES).combine_chunks()
    done = 0
    names = [str(number) for number in range(len(kept))]
    with closing(open_parquet(Path(part.spool))) as file:
        for batch in iterate_batches(file, PARQUET_ROWS, names):
            columns = [batch[name].cast(field.type) for name, field in zip(names, kept, strict=True)]
            found = scores.slice(done, len(batch)).combine_chunks().to_batches()[0]
            yield pa.RecordBatch.from_arrays(columns, schema=kept), found
            done += len(batch)


def _spooled(rows: Rows) -> pa.RecordBatch:
    columns = [*rows.kept.columns, rows.texts, rows.faults]
    return pa.RecordBatch.from_arrays(columns, names=[*map(str, range(rows.kept.num_columns)), TEXTS, FAULTS])
