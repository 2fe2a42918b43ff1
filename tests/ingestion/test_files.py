import hashlib
import os
import time

import fsspec
import pytest

from tasks.errors import DataError
from tasks.ingestion.files import digest_file, file_name, locate, parent, read_bytes, shown_path


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("data/reviews.csv", "data/reviews.csv"),
        ("/data/me@home/a:b@c.csv", "/data/me@home/a:b@c.csv"),
        ("https://me:secret@host/reviews.csv", "https://host/reviews.csv"),
        ("https://token@host:8080/reviews.csv?X-Amz-Signature=secret#part", "https://host:8080/reviews.csv"),
        ("sftp://me:secret@host/reviews.csv", "sftp://host/reviews.csv"),
        ("abfs://container@account.dfs.core.windows.net/a.csv", "abfs://container@account.dfs.core.windows.net/a.csv"),
        ("s3://bucket/what?.csv", "s3://bucket/what?.csv"),
        ("zip://a.csv::https://me:secret@host/b.zip", "zip://a.csv::https://host/b.zip"),
    ],
)
def test_credentials_are_not_shown(path, shown):
    assert shown_path(path) == shown


@pytest.mark.parametrize(
    ("path", "name", "folder"),
    [
        ("imdb.npz", "imdb.npz", "."),
        ("/imdb.npz", "imdb.npz", "/"),
        ("a/B.CSV", "b.csv", "a/"),
        ("memory://x/imdb.npz", "imdb.npz", "memory://x/"),
        ("https://host/a.csv?version=3", "a.csv", "https://host/"),
    ],
)
def test_names_and_folders_of_paths_and_urls(path, name, folder):
    assert (file_name(path), parent(path)) == (name, folder)


def test_a_digest_is_that_of_the_content_even_right_after_a_change(tmp_path):
    path = tmp_path / "a"
    for content in (b"one", b"two", b"six"):
        path.write_bytes(content)
        assert digest_file(locate(str(path))) == hashlib.sha256(content).hexdigest()


def test_a_digest_follows_a_change_of_a_file_that_had_been_still(tmp_path):
    path = tmp_path / "a"
    for age, content in ((200, b"one"), (100, b"two")):
        path.write_bytes(content)
        os.utime(path, (time.time() - age,) * 2)
        for _ in range(2):
            assert digest_file(locate(str(path))) == hashlib.sha256(content).hexdigest()


def test_a_url_reads_and_digests_as_its_content():
    with fsspec.open("memory://test_files/a", "wb") as file:
        file.write(b"content")
    located = locate("memory://test_files/a")
    assert read_bytes(located) == b"content"
    assert digest_file(located) == hashlib.sha256(b"content").hexdigest()


@pytest.mark.parametrize("url", ["memory://test_files/none", "/no/such/file", "file:///no/such/file"])
def test_a_missing_file_is_named_as_the_user_named_it(url):
    for look in (read_bytes, digest_file):
        with pytest.raises(DataError, match=f"^no such file: {url}$"):
            look(locate(url))
