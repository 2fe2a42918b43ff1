import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.schema import ValidationConfig
from tasks.handles import PaddedReviews, Reviews, ValidationReport
from tasks.validation.validate import check_padded, check_reviews

SCHEMA = pa.schema([("text", pa.string()), ("label", pa.int8()), ("split", pa.string())])
ROWS = {"train": 120, "validation": 40, "test": 40}
MAXLEN, VOCABULARY = 8, 50


@pytest.fixture
def clean() -> pd.DataFrame:
    """Two hundred different texts, half positive in each split: rows 0-119 train, 120-159 validation, 160-199 test."""
    count = sum(ROWS.values())
    texts = [f"review {number} of a film" for number in range(count)]
    splits = np.repeat(list(ROWS), list(ROWS.values()))
    return pd.DataFrame({"text": texts, "label": np.arange(count) % 2, "split": splits}).astype({"text": object})


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a frame as a Reviews folder; `schema` where the types are to be other than right."""

    def write(frame: pd.DataFrame, schema: pa.Schema | None = SCHEMA) -> Reviews:
        folder = tmp_path / "reviews"
        folder.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False), folder / "reviews.parquet")
        return Reviews(
            path=str(folder), sha256="0", dataset="films", source="table", source_sha256="0", rows={}, has_vocabulary=False
        )

    return write


@pytest.fixture
def check_again(tmp_path_factory):
    """Return a function that checks reviews as they are, under the given validation section.

    Data Docs take half of the time, so only tests that look at them ask for them.
    """

    def check_again(reviews: Reviews, *, docs: bool = False, **validation) -> ValidationReport:
        config = ValidationConfig.model_validate(validation)
        return check_reviews(tmp_path_factory.mktemp("report"), reviews, config, docs=docs)

    return check_again


@pytest.fixture
def check(write, check_again):
    """Return a function that writes a frame and checks it."""

    def check(frame: pd.DataFrame, schema: pa.Schema | None = SCHEMA, **validation) -> ValidationReport:
        return check_again(write(frame, schema), **validation)

    return check


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """Clean padded arrays by file stem; the first two of a row's ids are padding."""
    files: dict[str, np.ndarray] = {}
    rows = iter(np.split(np.arange(sum(ROWS.values()), dtype=np.int64), np.cumsum(list(ROWS.values()))[:-1]))
    for split, count in ROWS.items():
        ids = np.random.default_rng(0).integers(3, VOCABULARY, (count, MAXLEN)).astype(np.uint16)
        ids[:, :2] = 0
        files[f"ids_{split}"] = ids
        files[f"lengths_{split}"] = np.full(count, MAXLEN - 2, np.int32)
        files[f"labels_{split}"] = (np.arange(count) % 2).astype(np.int8)
        files[f"rows_{split}"] = next(rows)
    return files


@pytest.fixture
def check_arrays(tmp_path):
    """Return a function that saves arrays as a PaddedReviews folder and checks it."""

    def check(arrays: dict[str, np.ndarray], *, docs: bool = False, longest_ngram: int = 0) -> ValidationReport:
        folders = [tmp_path / name for name in ("padded", "report")]
        for folder in folders:
            folder.mkdir()
        for name, array in arrays.items():
            np.save(folders[0] / f"{name}.npy", array)
        nothing = dict.fromkeys(ROWS, 0.0)
        handle = PaddedReviews(
            path=str(folders[0]),
            sha256="0",
            vocabulary_size=VOCABULARY,
            maxlen=MAXLEN,
            longest_ngram=longest_ngram,
            rows=ROWS,
            truncated_share=nothing,
            out_of_vocabulary_share=nothing,
            padding_share=nothing,
        )
        return check_padded(folders[1], handle, docs=docs)

    return check
