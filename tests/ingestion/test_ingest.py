import hashlib
import json
import time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from configs.schema import DataConfig
from tasks.errors import DataError
from tasks.ingestion.source import source_digest
from tasks.ingestion.task import ingest

fill_folder = ingest.__wrapped__  # the stage's function without Prefect


@pytest.fixture
def run(tmp_path):
    def run(name="out", **keys):
        folder = tmp_path / name
        folder.mkdir()
        return fill_folder(folder, DataConfig(**keys))

    return run


@pytest.fixture
def npz(write_npz):
    rows = [[1 + number % 2, 3] for number in range(20)]
    return write_npz(rows, [0, 1] * 10, rows[:10], [0, 1] * 5, ["a", "b\x85", "c"])


def test_the_handle_tells_what_is_in_the_folder(run, npz, tmp_path):
    reviews = run(source="npz", path=str(npz))
    written = (tmp_path / "out/reviews.parquet").read_bytes()
    assert reviews.model_dump() == {
        "path": str(tmp_path / "out"),
        "sha256": hashlib.sha256(written).hexdigest(),
        "dataset": "reviews",
        "source": str(npz),
        "source_sha256": source_digest(DataConfig(source="npz", path=str(npz))),
        "rows": {"train": 16, "validation": 4, "test": 10},
        "has_vocabulary": True,
    }
    assert json.loads((tmp_path / "out/vocabulary.json").read_text()) == ["a", "b\x85", "c"]


def test_the_parquet_has_three_columns_of_three_types(run, npz):
    table = pq.read_table(run(source="npz", path=str(npz)).file("reviews.parquet"))
    assert table.schema.names == ["text", "label", "split"]
    assert table.schema.types == [pa.string(), pa.int8(), pa.string()]
    assert table["text"].to_pylist()[:2] == ["a c", "b\x85 c"]
    assert set(table["split"].to_pylist()[20:]) == {"test"}


def test_the_same_source_gives_the_same_bytes(run, npz):
    assert run("one", source="npz", path=str(npz)).sha256 == run("two", source="npz", path=str(npz)).sha256


def test_the_sample_comes_without_a_vocabulary(run):
    reviews = run(source="sample")
    assert reviews.rows == {"train": 2560, "validation": 640, "test": 800}
    assert (reviews.dataset, reviews.source, reviews.has_vocabulary) == ("sample", "sample", False)
    assert [path.name for path in reviews.file("").iterdir()] == ["reviews.parquet"]


def test_a_folder_of_reviews(run, write_reviews_folder):
    reviews = run(source="folder", path=str(write_reviews_folder(count=10)))
    assert (reviews.dataset, reviews.rows) == ("aclimdb", {"train": 16, "validation": 4, "test": 20})


def test_nulls_in_a_table_reach_the_parquet(run, tmp_path):
    path = tmp_path / "reviews.jsonl"
    path.write_text("\n".join(json.dumps({"text": None, "label": number % 2}) for number in range(40)))
    assert pq.read_table(run(source="table", path=str(path)).file("reviews.parquet"))["text"].null_count == 40


def test_a_source_that_is_gone_is_an_error_of_the_user_s(run, tmp_path):
    with pytest.raises(DataError, match=r"^no such file: "):
        run(source="table", path=str(tmp_path / "none.csv"))


def test_the_whole_imdb_in_seconds(run, real_imdb):
    start = time.perf_counter()
    reviews = run(source="npz", path=str(real_imdb / "imdb.npz"))
    seconds = time.perf_counter() - start
    table = pq.read_table(reviews.file("reviews.parquet"))
    assert reviews.rows == {"train": 20_000, "validation": 5_000, "test": 25_000}
    labels, splits = table["label"].to_numpy(), table["split"].to_numpy()
    assert {split: labels[splits == split].mean() for split in reviews.rows} == dict.fromkeys(reviews.rows, 0.5)
    tokens = pc.sum(pc.add(pc.count_substring(table["text"], " "), 1)).as_py() / 25_000
    assert np.isclose(tokens, 2 * 233.0, atol=20)
    assert seconds < 30
