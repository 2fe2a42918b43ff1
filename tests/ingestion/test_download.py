import contextlib
import gc
import hashlib
import logging
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tasks.errors import DownloadError
from tasks.ingestion import download as module
from tasks.ingestion.download import NPZ, WORD_INDEX, RemoteFile, download, download_imdb, imdb_available
from tasks.workspace import home

CONTENT = bytes(range(256)) * 4000
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
HINT = r"--data PATH .*--set data\.word_index=PATH"


class Host:
    """A web server on loopback that answers with the given (status, body, announced length), the last one for ever.

    `headers` come with each answer, and `pause` stands, in seconds, between any two bytes; None sends all of it at once.
    """

    def __init__(self):
        self.answers = [(200, CONTENT, None)]
        self.requests = []
        self.headers = {}
        self.pause = None
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                host.requests.append((self.command, self.path))
                status, body, length = host.answers.pop(0) if len(host.answers) > 1 else host.answers[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                for name, value in host.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.write(body)

            def write(self, body):
                if host.pause is None:
                    self.wfile.write(body)
                    return
                with contextlib.suppress(OSError):  # whoever asked has gone
                    for byte in body:
                        self.wfile.write(bytes([byte]))
                        time.sleep(host.pause)

            do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def file(self, name="imdb.npz", digest=DIGEST):
        return RemoteFile(f"http://127.0.0.1:{self.server.server_port}/{name}", digest)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def host():
    host = Host()
    yield host
    host.close()


@pytest.fixture
def dead_url():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused for as long as the test runs
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/imdb.npz"


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_downloaded_once(host, tmp_path):
    for _ in range(2):
        path = download(host.file(), tmp_path)
        assert path.read_bytes() == CONTENT
    assert len(host.requests) == 1
    assert names_in(tmp_path) == ["imdb.npz"]


@pytest.mark.fault("download truncated, flipped, swapped or slow")
def test_a_damaged_copy_is_replaced(host, tmp_path):
    (tmp_path / "imdb.npz").write_bytes(CONTENT[:-1] + b"x")
    assert download(host.file(), tmp_path).read_bytes() == CONTENT


def test_a_host_that_falters_twice_is_asked_again(host, tmp_path, caplog):
    host.answers = [(500, b"", None), (503, b"", None), (200, CONTENT, None)]
    with caplog.at_level(logging.WARNING, "reprise.ingestion"):
        assert download(host.file(), tmp_path, backoff=0.01).read_bytes() == CONTENT
    assert [record.getMessage().split("; ")[0].split(": ")[1] for record in caplog.records] == [
        "HTTP 500 Internal Server Error",
        "HTTP 503 Service Unavailable",
    ]


def test_each_retry_waits_twice_as_long(host, tmp_path):
    host.answers = [(500, b"", None)]
    start = time.perf_counter()
    with pytest.raises(DownloadError, match=f"HTTP 500.*{HINT}"):
        download(host.file(), tmp_path, backoff=0.1)
    assert len(host.requests) == 4
    assert 0.7 <= time.perf_counter() - start < 3


@pytest.mark.fault("download truncated, flipped, swapped or slow")
def test_a_body_that_breaks_off_is_fetched_again(host, tmp_path):
    host.answers = [(200, CONTENT[:5000], len(CONTENT)), (200, CONTENT, None)]
    assert download(host.file(), tmp_path, backoff=0.01).read_bytes() == CONTENT


@pytest.mark.fault("download truncated, flipped, swapped or slow")
def test_a_body_that_always_breaks_off_leaves_nothing_behind(host, tmp_path):
    host.answers = [(200, CONTENT[:5000], len(CONTENT))]
    with pytest.raises(DownloadError, match=rf"broke off after 5000 of {len(CONTENT)} bytes.*{HINT}"):
        download(host.file(), tmp_path, backoff=0.01)
    assert names_in(tmp_path) == []


@pytest.mark.fault("download truncated, flipped, swapped or slow")
def test_a_flipped_bit_is_fetched_once_more(host, tmp_path):
    flipped = CONTENT[:9] + bytes([CONTENT[9] ^ 1]) + CONTENT[10:]
    host.answers = [(200, flipped, None), (200, CONTENT, None)]
    assert download(host.file(), tmp_path).read_bytes() == CONTENT
    assert len(host.requests) == 2


@pytest.mark.fault("download truncated, flipped, swapped or slow")
@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"x" * 100, "another file"),
        (b"\n<!DOCTYPE html><p>Log in", "an HTML page"),
        (b"", "another file"),
        (CONTENT[:5000], "another file"),
        (CONTENT[:9] + bytes([CONTENT[9] ^ 1]) + CONTENT[10:], "another file"),
    ],
    ids=["another", "HTML", "nothing", "cut", "one bit"],
)
def test_another_file_is_refused_with_both_digests_after_one_more_try(host, tmp_path, body, what):
    host.answers = [(200, body, None)]
    found = hashlib.sha256(body).hexdigest()
    kept = tmp_path / "imdb.npz.quarantined"
    told = f"delivered {what}: its digest is sha256:{found}, not {DIGEST}; it is kept .* as {kept}, .*{HINT}"
    with pytest.raises(DownloadError, match=told) as caught:
        download(host.file(), tmp_path)
    assert "\n" not in str(caught.value)
    assert len(host.requests) == 2
    assert names_in(tmp_path) == [kept.name]
    assert kept.read_bytes() == body

    host.answers = [(200, CONTENT, None)]
    assert download(host.file(), tmp_path).read_bytes() == CONTENT
    assert names_in(tmp_path) == ["imdb.npz"]


def test_a_file_that_is_not_there_is_not_asked_for_again(host, tmp_path):
    host.answers = [(404, b"", None)]
    with pytest.raises(DownloadError, match=f"HTTP 404 Not Found.*{HINT}"):
        download(host.file(), tmp_path)
    assert len(host.requests) == 1


def test_an_unreachable_host_is_an_error_that_says_how_to_go_on(dead_url, tmp_path):
    with pytest.raises(DownloadError, match=f"could not be downloaded .*refused.*{HINT}") as caught:
        download(RemoteFile(dead_url, DIGEST), tmp_path, backoff=0.01)
    assert "\n" not in str(caught.value)
    assert names_in(tmp_path) == []


@pytest.mark.fault("download truncated, flipped, swapped or slow")
def test_a_host_that_is_silent_runs_into_the_timeout(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/imdb.npz"
        with pytest.raises(DownloadError, match="timed out"):
            download(RemoteFile(url, DIGEST), tmp_path, backoff=0.01, timeout=0.1)


@pytest.mark.fault("download truncated, flipped, swapped or slow")
def test_a_body_that_comes_too_slowly_runs_into_the_timeout(host, tmp_path):
    host.pause = 0.02  # never silent for as long as the timeout
    start = time.perf_counter()
    with pytest.raises(DownloadError, match=rf"only \d+ bytes came in 0\.1 s.*{HINT}"):
        download(host.file(), tmp_path, backoff=0.01, timeout=0.1)
    assert time.perf_counter() - start < 10
    assert len(host.requests) == 4
    assert names_in(tmp_path) == []

    host.pause = None
    assert download(host.file(), tmp_path).read_bytes() == CONTENT


@pytest.mark.fault("download truncated, flipped, swapped or slow")
def test_a_body_that_does_not_end_is_cut(host, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 100_000)
    host.answers = [(200, CONTENT, None)]
    with pytest.raises(DownloadError, match="delivered another file"):
        download(host.file(), tmp_path)
    assert (tmp_path / "imdb.npz.quarantined").stat().st_size < 100_000 + module.BLOCK


@pytest.mark.fault("download truncated, flipped, swapped or slow")
@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/x-bogus"])
def test_the_content_counts_whatever_type_it_is_said_to_be(host, tmp_path, content_type):
    host.headers = {"Content-Type": content_type}
    assert download(host.file(), tmp_path).read_bytes() == CONTENT
    (tmp_path / "imdb.npz").unlink()
    host.answers = [(200, b"<html>Log in", None)]
    with pytest.raises(DownloadError, match="delivered an HTML page"):
        download(host.file(), tmp_path)


@pytest.mark.fault("download truncated, flipped, swapped or slow")
def test_a_redirect_to_a_page_is_told_as_the_page_that_it_is(host, tmp_path):
    host.answers = [(302, b"", None), (200, b"<!doctype html><title>Log in", None)] * 2
    host.headers = {"Location": "/login"}
    with pytest.raises(DownloadError, match=f"delivered an HTML page: its digest is .*{HINT}"):
        download(host.file(), tmp_path)
    assert [path for _, path in host.requests] == ["/imdb.npz", "/login"] * 2


@pytest.mark.fault("download truncated, flipped, swapped or slow")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("location", ["/imdb.npz", "file:///etc/passwd", "ftp://127.0.0.1:9/x", "http://[bad"])
def test_a_redirect_to_nowhere_or_into_this_machine_is_not_followed(host, tmp_path, location):
    host.answers = [(302, b"", None)]
    host.headers = {"Location": location}
    with pytest.raises(DownloadError, match=f"could not be downloaded .*{HINT}") as caught:
        download(host.file(), tmp_path, backoff=0.01)
    assert "\n" not in str(caught.value)
    assert names_in(tmp_path) == []
    del caught
    gc.collect()  # urllib leaves the answer open that it found no URL in


def test_both_files_go_to_the_workspace(host):
    index = host.file("imdb_word_index.json", f"md5:{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}")
    npz_path, index_path = download_imdb(npz=host.file(), word_index=index)
    assert npz_path == home() / "downloads" / "imdb.npz"
    assert index_path == home() / "downloads" / "imdb_word_index.json"
    assert npz_path.read_bytes() == index_path.read_bytes() == CONTENT


def test_imdb_is_available_where_its_host_answers(host):
    assert imdb_available(npz=host.file(), word_index=host.file("imdb_word_index.json"))
    assert [method for method, _ in host.requests] == ["HEAD", "HEAD"]


def test_imdb_is_available_without_a_host_where_both_files_lie_intact(host, dead_url):
    files = {"npz": host.file(), "word_index": host.file("imdb_word_index.json")}
    paths = download_imdb(**files)
    dead = {key: RemoteFile(dead_url.replace("imdb.npz", file.name), file.digest) for key, file in files.items()}
    assert imdb_available(**dead)
    paths[1].write_bytes(b"damaged")
    assert not imdb_available(**dead)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_imdb_is_not_available_where_its_host_refuses(host, status):
    host.answers = [(status, b"", None)]
    assert not imdb_available(npz=host.file(), word_index=host.file("imdb_word_index.json"))


def test_a_silent_host_does_not_keep_the_user_waiting():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        file = RemoteFile(f"http://127.0.0.1:{silent.getsockname()[1]}/imdb.npz", DIGEST)
        start = time.perf_counter()
        assert not imdb_available(npz=file, word_index=file, timeout=0.2)
        assert time.perf_counter() - start < 2


def test_the_official_files_are_pinned():
    assert NPZ.digest == "sha256:69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
    assert WORD_INDEX.digest == "md5:bfafd718b763782e994055a2d397834f"
    assert {file.url.rpartition("/")[0] for file in (NPZ, WORD_INDEX)} == {
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets"
    }
