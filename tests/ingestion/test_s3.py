"""Reviews that lie in a bucket, on a real S3 server."""

import io
import logging

import pandas as pd
import pytest
from s3fs import S3FileSystem

from configs.schema import DataConfig
from tasks.errors import DataError, DownloadError
from tasks.ingestion.source import data_from_path, read_source, source_digest
from tests.ingestion.conftest import table_of

REVIEWS = pd.DataFrame({"text": [f"review {n}" for n in range(20)], "label": [0, 1] * 10})


def read(path):
    with io.BytesIO() as spool:
        return table_of(read_source(data_from_path(path), spool))


@pytest.fixture
def upload(s3_bucket):
    """Put a file or folder into the bucket, and return its URL there."""

    def upload(path):
        S3FileSystem().put(str(path), f"{s3_bucket}/data/{path.name}", recursive=path.is_dir())
        return f"{s3_bucket}/data/{path.name}"

    return upload


@pytest.mark.parametrize("name", ["reviews.csv", "reviews.jsonl.gz", "reviews.parquet"])
def test_a_table_reads_as_on_disk(upload, tmp_path, name):
    path = tmp_path / name
    match name.split(".")[1]:
        case "csv":
            REVIEWS.to_csv(path, index=False)
        case "jsonl":
            REVIEWS.to_json(path, orient="records", lines=True)
        case "parquet":
            REVIEWS.to_parquet(path)
    assert read(upload(path)).equals(read(str(path)))


def test_a_folder_of_texts_reads_as_on_disk(upload, write_reviews_folder):
    root = write_reviews_folder(count=2)
    url = upload(root)
    assert read(url).equals(read(str(root)))
    assert source_digest(data_from_path(url)) == source_digest(data_from_path(str(root)))


def test_an_npz_reads_with_the_word_index_beside_it(upload, write_npz):
    path = write_npz([[1, 2], [2]], [0, 1], [[1]], [1], ["good", "film"])
    url = upload(path)
    upload(path.with_name("imdb_word_index.json"))
    assert read(url).equals(read(str(path)))
    assert read(url).column("text")[0].as_py() == "good film"


def test_a_digest_is_that_of_the_content_which_is_read_once_while_its_mark_stays(s3_bucket, caplog):
    filesystem, url = S3FileSystem(), f"{s3_bucket}/reviews.csv"
    data = DataConfig(source="table", path=url)
    digests, reads = [], []
    caplog.set_level(logging.INFO, logger="werkzeug")  # the server's own record of what it was asked
    for text in ("text,label\na,1\n", "text,label\na,0\n", "text,label\na,1\n"):
        filesystem.pipe_file(url, text.encode())  # of the same size, and within a tick of most clocks
        caplog.clear()
        digests += [source_digest(data), source_digest(data)]
        reads.append(sum('"GET ' in line and "reviews.csv HTTP" in line for line in caplog.messages))
    assert digests[0] == digests[1] == digests[4]
    assert digests[0] != digests[2] == digests[3]
    assert reads == [1, 1, 0]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("{bucket}/none.csv", "^no such file: {bucket}/none.csv$"),
        ("{bucket}/none", "^no such file: {bucket}/none$"),
        ("s3://no-such-bucket/reviews.csv", "^no such bucket: s3://no-such-bucket/reviews.csv$"),
        ("s3://no-such-bucket/aclImdb", "^no such bucket: s3://no-such-bucket/aclImdb$"),
    ],
)
def test_what_is_not_there_is_named(s3_bucket, name, told):
    path = name.format(bucket=s3_bucket)
    with pytest.raises(DataError, match=told.format(bucket=s3_bucket)):
        data_from_path(path)
    if path.endswith(".csv"):
        with pytest.raises(DataError, match=told.format(bucket=s3_bucket)):
            source_digest(DataConfig(source="table", path=path))


@pytest.mark.parametrize(
    ("without", "told"),
    [("AWS_ACCESS_KEY_ID", "Unable to locate credentials"), ("AWS_ENDPOINT_URL", "Could not connect to the endpoint URL")],
)
def test_a_bucket_that_cannot_be_asked_is_named_with_the_reason(s3_bucket, monkeypatch, tmp_path, without, told):
    monkeypatch.setenv("HOME", str(tmp_path))
    if without == "AWS_ENDPOINT_URL":
        monkeypatch.setenv(without, "http://127.0.0.1:9")
    else:
        monkeypatch.delenv(without)
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    S3FileSystem.clear_instance_cache()  # fsspec keeps the one that was opened before
    try:
        with pytest.raises(DownloadError, match=f"^cannot read {s3_bucket}/reviews.csv: {told}"):
            data_from_path(f"{s3_bucket}/reviews.csv")
    finally:
        S3FileSystem.clear_instance_cache()
