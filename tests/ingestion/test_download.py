import hashlib
import logging
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tasks.errors import DownloadError
from tasks.ingestion.download import NPZ, WORD_INDEX, RemoteFile, download, download_imdb, imdb_available
from tasks.workspace import home

CONTENT = bytes(range(256)) * 4000
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
HINT = r"--data PATH .*--set data\.word_index=PATH"


class Host:
    """A web server on loopback that answers with the given (status, body, announced length), the last one for ever."""

    def __init__(self):
        self.answers = [(200, CONTENT, None)]
        self.requests = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                host.requests.append((self.command, self.path))
                status, body, length = host.answers.pop(0) if len(host.answers) > 1 else host.answers[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

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


def test_a_body_that_breaks_off_is_fetched_again(host, tmp_path):
    host.answers = [(200, CONTENT[:5000], len(CONTENT)), (200, CONTENT, None)]
    assert download(host.file(), tmp_path, backoff=0.01).read_bytes() == CONTENT


def test_a_body_that_always_breaks_off_leaves_nothing_behind(host, tmp_path):
    host.answers = [(200, CONTENT[:5000], len(CONTENT))]
    with pytest.raises(DownloadError, match=rf"broke off after 5000 of {len(CONTENT)} bytes.*{HINT}"):
        download(host.file(), tmp_path, backoff=0.01)
    assert names_in(tmp_path) == []


def test_a_flipped_bit_is_fetched_once_more(host, tmp_path):
    flipped = CONTENT[:9] + bytes([CONTENT[9] ^ 1]) + CONTENT[10:]
    host.answers = [(200, flipped, None), (200, CONTENT, None)]
    assert download(host.file(), tmp_path).read_bytes() == CONTENT
    assert len(host.requests) == 2


@pytest.mark.parametrize(("body", "what"), [(b"x" * 100, "another file"), (b"\n<!DOCTYPE html><p>Log in", "an HTML page")])
def test_another_file_is_refused_with_both_digests_after_one_more_try(host, tmp_path, body, what):
    host.answers = [(200, body, None)]
    found = hashlib.sha256(body).hexdigest()
    with pytest.raises(DownloadError, match=f"delivered {what}: its digest is sha256:{found}, not {DIGEST}; .*{HINT}"):
        download(host.file(), tmp_path)
    assert len(host.requests) == 2
    assert names_in(tmp_path) == []


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


def test_a_host_that_is_silent_runs_into_the_timeout(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/imdb.npz"
        with pytest.raises(DownloadError, match="timed out"):
            download(RemoteFile(url, DIGEST), tmp_path, backoff=0.01, timeout=0.1)


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
