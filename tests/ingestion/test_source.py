import functools
import io
import os
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import pytest

from configs.schema import DataConfig
from tasks.errors import DataError, DownloadError
from tasks.ingestion.source import data_from_path, describe_source, read_source, source_digest
from tests.ingestion.conftest import table_of

TABLE = "text,label\na,1\nb,0\n"


def read(data):
    with io.BytesIO() as spool:
        return table_of(read_source(data, spool))


def test_a_path_stands_for_the_source_it_looks_like(tmp_path, write_npz, write_reviews_folder):
    npz = write_npz([[1]], [0], [[1]], [1], ["a"])
    folder = write_reviews_folder()
    (tmp_path / "tables").mkdir()
    for name in ("reviews.csv", "reviews.TSV.GZ", "tables/train.jsonl", "tables/test.parquet"):
        (tmp_path / name).touch()
    assert data_from_path(str(npz)) == DataConfig(source="npz", path=str(npz))
    assert data_from_path(str(folder)) == DataConfig(source="folder", path=str(folder))
    for name in ("reviews.csv", "reviews.TSV.GZ", "tables"):
        assert data_from_path(str(tmp_path / name)) == DataConfig(source="table", path=str(tmp_path / name))


def test_a_url_stands_for_a_source_too():
    for name in ("one/reviews.jsonl.gz", "two/train.csv", "two/test.csv"):
        with fsspec.open(f"memory://test_source/{name}", "wb") as file:
            file.write(b"x")
    assert data_from_path("memory://test_source/one/reviews.jsonl.gz").source == "table"
    assert data_from_path("memory://test_source/two").source == "table"


@pytest.mark.parametrize("name", ["none.npz", "none.csv", "none.csv.gz", "none", "none/"])
def test_a_path_to_nothing_is_named(tmp_path, name):
    with pytest.raises(DataError, match=f"^no such file: {tmp_path}/{name}$"):
        data_from_path(f"{tmp_path}/{name}")


@pytest.mark.parametrize("name", ["reviews.xlsx", "reviews.csv.zip", "reviews", "empty"])
def test_what_cannot_be_read_is_refused_with_all_that_can(tmp_path, name):
    for file in ("reviews.xlsx", "reviews.csv.zip", "reviews"):
        (tmp_path / file).touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        data_from_path(str(tmp_path / name))
    for accepted in ("imdb.npz", "train/pos", ".csv.gz", ".tsv", ".jsonl", ".parquet", "a train and a test table"):
        assert accepted in str(caught.value)
    assert "\n" not in str(caught.value)


def test_credentials_are_not_described():
    data = DataConfig(source="table", path="https://host/reviews.csv#part")
    assert describe_source(data) == "https://host/reviews.csv"
    assert [describe_source(DataConfig(source=name)) for name in ("imdb", "sample")] == ["imdb", "sample"]


def digests_before_and_after(data, change):
    before = source_digest(data)
    assert source_digest(data) == before
    assert re.fullmatch("[0-9a-f]{64}", before)
    change()
    return before, source_digest(data)


def test_the_digest_is_that_of_the_content_wherever_it_lies(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(TABLE)
    with fsspec.open("memory://test_source/c.csv", "wb") as file:
        file.write(TABLE.encode())
    paths = (str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "memory://test_source/c.csv")
    assert len({source_digest(DataConfig(source="table", path=path)) for path in paths}) == 1


@pytest.mark.parametrize("changed", ["train.csv", "test.csv"])
@pytest.mark.parametrize("as_folder", [False, True])
def test_a_change_of_either_table_changes_the_digest(tmp_path, changed, as_folder):
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text(TABLE)
    path, test_path = (str(tmp_path), None) if as_folder else (str(tmp_path / "train.csv"), str(tmp_path / "test.csv"))
    data = DataConfig(source="table", path=path, test_path=test_path)
    before, after = digests_before_and_after(data, lambda: (tmp_path / changed).write_text(TABLE.replace("a", "c")))
    assert before != after


def test_swapping_train_and_test_changes_the_digest(tmp_path):
    (tmp_path / "a.csv").write_text(TABLE)
    (tmp_path / "b.csv").write_text(TABLE * 2)
    a, b = str(tmp_path / "a.csv"), str(tmp_path / "b.csv")
    digests = {source_digest(DataConfig(source="table", path=one, test_path=two)) for one, two in ((a, b), (b, a))}
    assert len(digests) == 2


@pytest.mark.parametrize("changed", ["reviews.npz", "imdb_word_index.json"])
def test_a_change_of_npz_or_word_index_changes_the_digest(tmp_path, write_npz, changed):
    path = write_npz([[1]], [0], [[1]], [1], ["a"])
    before, after = digests_before_and_after(
        DataConfig(source="npz", path=str(path)),
        lambda: (tmp_path / changed).write_bytes((tmp_path / changed).read_bytes() + b" "),
    )
    assert before != after


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        (lambda root: (root / "test/neg/0_7.txt").write_text("TEST NEG 0"), True),
        (lambda root: (root / "test/neg/0_7.txt").rename(root / "test/neg/9_7.txt"), True),
        (lambda root: (root / "test/neg/0_7.txt").rename(root / "test/pos/9_7.txt"), True),
        (lambda root: (root / "train/pos/0_7.txt").unlink(), True),
        (lambda root: (root / "train/urls_pos.txt").write_text("never read"), False),
    ],
)
def test_the_digest_of_a_folder_is_that_of_what_is_read(write_reviews_folder, change, matters):
    root = write_reviews_folder()
    before, after = digests_before_and_after(DataConfig(source="folder", path=str(root)), lambda: change(root))
    assert (before != after) is matters


def test_imdb_and_the_sample_have_digests_without_being_read(tmp_path):
    digests = [source_digest(DataConfig(source=name)) for name in ("imdb", "sample")]
    assert len(set(digests)) == 2
    assert not (tmp_path / "reprise-home").exists()


@pytest.mark.parametrize(
    ("source", "name"), [("table", "none.csv"), ("npz", "none.npz"), ("folder", "none"), ("table", "none")]
)
def test_a_missing_source_has_no_digest(tmp_path, source, name):
    with pytest.raises(DataError, match=f"none|no such file: {tmp_path}"):
        source_digest(DataConfig(source=source, path=str(tmp_path / name)))


@pytest.fixture
def web(tmp_path):
    """A web server on loopback over `tmp_path`; what is named "refused" is forbidden."""

    class Handler(SimpleHTTPRequestHandler):
        def send_head(self):
            if "refused" in self.path:
                self.send_error(403)
                return None
            return super().send_head()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_table_on_the_web_is_read_and_digested_as_a_local_one(web, tmp_path):
    rows = "".join(f"text {number},{number % 2}\n" for number in range(20))
    (tmp_path / "reviews.csv").write_text(f"text,label\n{rows}")
    remote, local = data_from_path(f"{web}/reviews.csv"), data_from_path(str(tmp_path / "reviews.csv"))
    assert remote.source == "table"
    assert source_digest(remote) == source_digest(local)
    assert read(remote).equals(read(local))


@pytest.mark.parametrize("look", [data_from_path, lambda path: source_digest(DataConfig(source="table", path=path))])
def test_a_file_that_the_web_has_not_differs_from_one_it_withholds_and_from_no_web(web, look):
    with pytest.raises(DataError, match=f"^no such file: {web}/none.csv$"):
        look(f"{web}/none.csv")
    with pytest.raises(DownloadError, match=f"^cannot read {web}/refused.csv: 403"):
        look(f"{web}/refused.csv")
    with pytest.raises(DownloadError, match=r"^cannot read http://127\.0\.0\.1:9/reviews\.csv: .*[Cc]onnect"):
        look("http://127.0.0.1:9/reviews.csv")


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        (lambda folder: (folder / "c.csv").write_text(TABLE), True),
        (lambda folder: (folder / "a.csv").write_text(TABLE.replace("a", "c")), True),
        (lambda folder: (folder / "a.csv").unlink(), True),
        (lambda folder: (folder / "a.csv").rename(folder / "z.csv"), True),
        (lambda folder: (folder / "a.csv").rename(folder / "a2.csv"), False),
        (lambda folder: os.utime(folder / "a.csv", (1, 1)), False),
        (lambda folder: (folder / ".half.csv").write_text("tex"), False),
    ],
)
def test_the_digest_of_parts_is_that_of_their_rows_in_order(tmp_path, change, matters):
    (tmp_path / "parts").mkdir()
    for name, text in (("a", TABLE), ("b", TABLE * 2)):
        (tmp_path / "parts" / f"{name}.csv").write_text(text)
    data = data_from_path(f"{tmp_path}/parts/*.csv")
    assert source_digest(data_from_path(f"{tmp_path}/parts")) == source_digest(data)
    before, after = digests_before_and_after(data, lambda: change(tmp_path / "parts"))
    assert (before != after) is matters
