"""The scored table: written row by row, and there whole or not at all."""

import fcntl
import gzip
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.disk_space import writing
from tasks.errors import DataError, DownloadError, InputError
from tasks.ingestion.files import Located

BUCKETS = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "memory")
"""Filesystems whose folders come into being with the files in them."""

Write = Callable[[pa.RecordBatch, pa.RecordBatch], object]
"""Takes rows: the columns kept, and those added."""


@contextmanager
def written_whole(file: Located) -> Iterator[BinaryIO]:
    """Yield a stream whose content becomes the file when the block ends without an error; otherwise nothing has changed.

    On this machine it is a new file that takes the name at the end; on a bucket, an upload that is completed or given up.

    Raises:
        InputError: it cannot be written there.
        DiskFull: there is no room for it.
        DownloadError: its host did not take it.
    """
    if file.is_local:
        path = Path(file.path)
        draft = path.with_name(f".{path.name}.unfinished")  # what a killed process left is written over
        try:
            with writing(path, "the output"):
                stream = _open_alone(draft)
        except OSError as error:
            raise InputError(f"cannot write {file.name}: {error.strerror}") from error
        try:
            with writing(path, "the output", draft=draft), stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        return
    # An instance of its own: what others write with theirs in the meantime is no part of the transaction.
    own = type(file.filesystem)(*file.filesystem.storage_args, **file.filesystem.storage_options, skip_instance_cache=True)
    try:
        with own.transaction, own.open(file.path, "wb") as stream:
            yield stream
    except (OSError, NotImplementedError) as error:
        raise DownloadError(f"cannot write {file.name}: {' '.join(str(error).split())}") from error


def _open_alone(draft: Path) -> BinaryIO:
    while True:
        stream = draft.open("ab")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking, another process may have given its draft the final name.
            if draft.exists() and os.path.samestat(draft.stat(), os.fstat(stream.fileno())):
                stream.truncate(0)
                return stream
        except BlockingIOError:
            stream.close()
            raise InputError(f"another process is writing {draft.with_name(draft.name[1:]).stem}: wait for its end") from None
        stream.close()


@contextmanager
def open_rows(stream: BinaryIO, extension: str, kept: pa.Schema, added: pa.Schema, *, as_lines: bool) -> Iterator[Write]:
    """Yield the function that writes rows to a stream; the table is complete when the block ends.

    Args:
        stream: Where to write.
        extension: One of `EXTENSIONS`.
        kept: The columns that come from the input.
        added: The columns that scoring adds.
        as_lines: Whether what is kept are lines of JSONL.

    Raises:
        DataError: The format cannot hold a column.
    """
    if extension.endswith(".gz"):
        plain = extension.removesuffix(".gz")
        with (
            gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=6, mtime=0) as zipped,
            open_rows(cast(BinaryIO, zipped), plain, kept, added, as_lines=as_lines) as write,
        ):
            yield write
        return
    schema = pa.schema([*kept, *added], metadata=kept.metadata)
    if extension == ".parquet":
        with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
            yield lambda rows, scores: writer.write_batch(_beside(rows, scores, schema))
    elif as_lines:
        yield lambda rows, scores: stream.write(_extend_lines(rows, scores))
    elif extension == ".jsonl":
        _require_plain(schema, extension, also=pa.types.is_nested)
        yield lambda rows, scores: stream.write(_dump_rows(_beside(rows, scores, schema)))
    else:
        _require_plain(schema, extension)
        delimiter = "\t" if extension == ".tsv" else ","
        header = [pa.array([name]) for name in schema.names]
        stream.write(_join_fields(header, delimiter))
        yield lambda rows, scores: stream.write(_join_fields([*rows.columns, *scores.columns], delimiter))


def _beside(rows: pa.RecordBatch, scores: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([*rows.columns, *scores.columns], schema=schema)


def _extend_lines(lines: pa.RecordBatch, scores: pa.RecordBatch) -> bytes:
    extended = []
    for line, score in zip(lines.column(0).to_pylist(), scores.to_pylist(), strict=True):
        head = line.removesuffix(b"}").rstrip()
        comma = b"" if head == b"{" else b", "
        extended.append(head + comma + json.dumps(score, ensure_ascii=False).encode()[1:] + b"\n")
    return b"".join(extended)


def _dump_rows(rows: pa.RecordBatch) -> bytes:
    columns = [pc.if_else(pc.is_nan(one), None, one) if pa.types.is_floating(one.type) else one for one in rows.columns]
    plain = pa.RecordBatch.from_arrays(columns, names=rows.schema.names)
    return "".join(f"{json.dumps(row, ensure_ascii=False, default=str)}\n" for row in plain.to_pylist()).encode()


def _join_fields(columns: list[pa.Array], delimiter: str) -> bytes:
    """Return rows of CSV (RFC 4180), quoted where a field needs it and nowhere else, with an empty field for a null."""
    fields = []
    for column in columns:
        text = column.cast(pa.string()).fill_null("")
        quoted = pc.binary_join_element_wise("", pc.replace_substring(text, '"', '""'), "", '"')
        fields.append(pc.if_else(pc.match_substring_regex(text, f'[{delimiter}"\r\n]'), quoted, text))
    rows = pc.binary_join_element_wise(*fields, delimiter)
    ended = pc.binary_join_element_wise(rows, "", "\n")
    return "".join(ended.to_pylist()).encode()


def _require_plain(schema: pa.Schema, extension: str, also: Callable[[pa.DataType], bool] = lambda _: False) -> None:
    for field in schema:
        if not (_has_words(field.type) or also(field.type)):
            raise DataError(f"column '{field.name}' holds {field.type}, which {extension} cannot hold: write to .parquet")


def _has_words(kind: Any) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return not (pa.types.is_nested(kind) or any(check(kind) for check in binary))
