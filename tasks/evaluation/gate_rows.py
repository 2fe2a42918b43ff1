"""The test split, divided for good by the content of its texts: gate rows decide on promotions, audit rows are sealed."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.parquet_batches import iterate_batches, open_parquet
from tasks.served_model import tokenize
from tasks.text_digests import below, digest_texts

BATCH_ROWS = 8192


def find_sealed(digests: pa.FixedSizeBinaryArray, audit_fraction: float) -> NDArray[np.bool_]:
    """Mark the texts that are audit rows: those whose digest, as a number from 0 to 1, is below the fraction; (rows,).

    So a text is on the same side in whatever data it stands, and with a larger fraction no sealed row is opened.
    """
    return below(digests, audit_fraction)


def identify_rows(digests: pa.Array, labels: pa.Array) -> str:
    """Return the sha256 (hex) of rows, given as digests (rows,) and labels (rows,), whatever their order."""
    ordered = pa.table({"digest": digests, "label": labels}).sort_by([("digest", "ascending"), ("label", "ascending")])
    digest = hashlib.sha256(b"".join(ordered["digest"].to_pylist()))
    digest.update(ordered["label"].to_numpy().astype(np.int8).tobytes())
    return digest.hexdigest()


def read_test_rows(reviews_path: Path, excluded: NDArray[np.int64]) -> pa.Table:
    """Return row (int64), digest (16 bytes), label (int8) and words (int32) of each test review but the excluded ones.

    Args:
        reviews_path: canonical Parquet.
        excluded: row numbers to leave out.
    """
    schema = pa.schema([("row", pa.int64()), ("digest", pa.binary(16)), ("label", pa.int8()), ("words", pa.int32())])
    parts = [schema.empty_table()]
    first_row = 0
    for batch in iterate_batches(open_parquet(reviews_path), BATCH_ROWS, ["text", "label", "split"]):
        rows = np.flatnonzero(pc.equal(batch["split"], "test").to_numpy(zero_copy_only=False))
        rows = rows[~np.isin(rows + first_row, excluded)]
        texts = batch["text"].take(rows)
        columns = [pa.array(rows + first_row), digest_texts(texts), batch["label"].take(rows), pa.array(tokenize(texts)[1])]
        parts.append(pa.table(columns, schema=schema))
        first_row += len(batch)
    return pa.concat_tables(parts).combine_chunks()


def read_training_digests(reviews_path: Path) -> pa.Array:
    """Return the digest of each text of train and validation, once, sorted; (texts,) binary of 16 bytes."""
    digests = [
        digest_texts(batch["text"].filter(pc.not_equal(batch["split"], "test")))
        for batch in iterate_batches(open_parquet(reviews_path), BATCH_ROWS, ["text", "split"])
    ]
    return pc.unique(pa.chunked_array(digests, pa.binary(16)).combine_chunks()).sort()


def write_gate_rows(
    reviews_path: Path, excluded: NDArray[np.int64], audit_fraction: float, folder: Path
) -> tuple[str, int, int]:
    """Write `gate.parquet`, `audit.parquet` and `training.parquet`, as `GateRows` lists them, into a folder.

    Returns:
        The sha256 of the gate rows, their number, and that of the audit rows.
    """
    test = read_test_rows(reviews_path, excluded)
    sealed = pa.array(find_sealed(test["digest"].combine_chunks(), audit_fraction))
    gate, audit = test.filter(pc.invert(sealed)), test.filter(sealed)
    pq.write_table(gate, folder / "gate.parquet")
    pq.write_table(audit, folder / "audit.parquet")
    pq.write_table(pa.table({"digest": read_training_digests(reviews_path)}), folder / "training.parquet")
    return identify_rows(gate["digest"], gate["label"]), len(gate), len(audit)
