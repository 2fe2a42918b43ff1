"""A real model server, asked over loopback, while the registry changes below it."""

import json
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tasks.mlflow_store import connect
from tasks.registration.scoring import score_texts
from tasks.registration.versions import find_version
from tasks.serving.batching import Batcher
from tasks.serving.connection import HEAD_BYTES
from tasks.serving.following import Follower
from tests.registration.small_model import NAME, TEXTS
from tests.serving.conftest import NO_TLS, SECONDS, TOKEN, make_champion, running

REVIEWS = [one for one in TEXTS if one]


@pytest.fixture(scope="module")
def server():
    with running(poll_seconds=0.3) as server:
        yield server


@pytest.fixture(scope="module")
def guarded():
    with running(TOKEN, body_bytes=2000, request_seconds=0.5, explained_words=5) as server:
        yield server


@pytest.fixture
def champion(server):
    """The version that is served, made so by hand if a test before has left another state."""
    return server.await_version(trouble=None)["version"]


def offline(version, texts):
    return [one["probability"] for one in score_texts(find_version(NAME, version).summary, texts)]


def probabilities(answer):
    return [one["probability"] for one in answer["predictions"]]


def test_served_scores_are_those_of_the_command_alone_and_in_company(server, champion, real_slice):
    import pandas as pd

    texts = [*REVIEWS, *pd.read_csv(real_slice)["text"].head(300)]
    expected = offline(champion, texts)
    alone = [probabilities(server.predict(text))[0] for text in texts[:20]]
    pieces = [texts[start : start + 7] for start in range(0, len(texts), 7)]
    with ThreadPoolExecutor(8) as pool:
        together = [one for answer in pool.map(lambda piece: server.predict(*piece), pieces) for one in probabilities(answer)]
    assert alone == expected[:20]
    assert together == expected
    assert server.metric("reprise_batch_requests_sum") > server.metric("reprise_batch_requests_count")  # some were together


def test_a_prediction_tells_its_version(server, champion):
    answer = server.predict(*REVIEWS)
    assert (answer["model"], answer["version"]) == (NAME, champion)
    assert [one["label"] for one in answer["predictions"]] == [int(one >= 0.5) for one in probabilities(answer)]


def test_an_explanation_is_the_difference_that_each_word_makes(server, champion):
    text = "A film, UNHEARD of 😀 dull"
    told = server.client.post("/explain", json={"text": text}).json()
    words = [text[word["start"] : word["end"]] for word in told["words"]]
    assert words == ["A", "film", "UNHEARD", "of", "😀", "dull"]
    assert [word["known"] for word in told["words"]] == [True, True, False, False, False, True]
    left = [text[: word["start"]] + text[word["end"] :] for word in told["words"]]
    whole, *without = offline(champion, [text, *left])
    assert told["probability"] == whole
    assert [word["without"] for word in told["words"]] == without
    assert [word["change"] for word in told["words"]] == [whole - one for one in without]


def test_a_text_without_words_is_explained_by_none(server):
    assert server.client.post("/explain", json={"text": "!?"}).json()["words"] == []


def test_what_is_wrong_is_told_by_field_and_not_repeated(server):
    answer = server.client.post("/predict", json={"texts": ["a", " ", 3], "more": "secret"})
    assert answer.status_code == 422
    assert [fault["loc"] for fault in answer.json()["detail"]] == [["body", "texts", 1], ["body", "texts", 2], ["body", "more"]]
    assert "secret" not in answer.text


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_only_json_is_read(server, kind):
    headers = {} if kind is None else {"Content-Type": kind}
    answer = server.client.post("/predict", content=b'{"texts": ["a"]}', headers=headers)
    assert (answer.status_code, answer.headers["Connection"]) == (415, "close")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/predict", 405), ("DELETE", "/version", 405), ("GET", "/x", 404)]
)
def test_what_there_is_not_is_told(server, method, path, status):
    answer = server.client.request(method, path)
    assert (answer.status_code, list(answer.json())) == (status, ["detail"])


def test_every_answer_has_the_headers_of_security_and_its_number(server):
    for path in ("/", "/health", "/docs", "/assets/page.js", "/nowhere"):
        headers = server.client.get(path, headers={"X-Request-ID": "mine-1"}).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert (headers["X-Content-Type-Options"], headers["X-Request-ID"]) == ("nosniff", "mine-1")
    numbers = {server.client.get("/health", headers={"X-Request-ID": 'a b"'}).headers["X-Request-ID"] for _ in range(2)}
    assert len(numbers) == 2
    assert all(len(one) == 32 for one in numbers)


# With a token


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}])
def test_without_the_token_only_its_state_is_told(guarded, headers):
    asked = [("POST", "/predict"), ("POST", "/explain"), ("GET", "/version"), ("GET", "/metrics")]
    with httpx.Client(base_url=guarded.url, headers=headers, verify=NO_TLS, timeout=SECONDS) as client:
        for method, path in asked:
            answer = client.request(method, path)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert answer.headers["Connection"] == "close"
        for path in ("/health", "/ready", "/", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 200


def test_with_the_token_all_is_told(guarded):
    assert guarded.predict("a film")["model"] == NAME
    assert guarded.version()["follows"] == "champion"
    assert guarded.metric("reprise_requests_total") > 0


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused_before_it_is_there(guarded, chunked):
    start = b'{"texts": ["' + b"a" * 2000
    with socket.create_connection(guarded.client.base_url.netloc.decode().split(":")) as connection:
        length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 1000000"
        head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        connection.sendall(head + b"Authorization: Bearer " + TOKEN.encode() + b"\r\n" + length + b"\r\n\r\n")
        connection.sendall(b"%x\r\n%s\r\n" % (len(start), start) if chunked else start)
        answer = connection.recv(1000)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nconnection: close\r\n" in answer


def test_a_body_that_does_not_come_is_not_waited_for(guarded):
    with socket.create_connection(guarded.client.base_url.netloc.decode().split(":")) as connection:
        head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 20\r\n"
        connection.sendall(head + b"Authorization: Bearer " + TOKEN.encode() + b"\r\n\r\n{")
        begin = time.monotonic()
        answer = connection.recv(1000)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nconnection: close\r\n" in answer
        assert 0.4 < time.monotonic() - begin < 20


HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n"


def connect_to(server):
    connection = socket.create_connection(server.client.base_url.netloc.decode().split(":"))
    connection.settimeout(SECONDS)
    return connection


def trickle_until_closed(connection):
    """Send a byte now and then, and return the seconds until that fails."""
    begin = time.monotonic()
    while time.monotonic() - begin < SECONDS:
        try:
            connection.sendall(b"a")
        except OSError:
            break
        time.sleep(0.02)
    return time.monotonic() - begin


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("sent", [b"", b"G", HEALTH])
def test_a_head_that_does_not_come_is_not_waited_for(guarded, sent, answered):
    with connect_to(guarded) as connection:
        if answered:
            connection.sendall(HEALTH + b"\r\n")
            assert connection.recv(10_000).startswith(b"HTTP/1.1 200 ")
        connection.sendall(sent)
        begin = time.monotonic()
        assert connection.recv(1000) == b""
        assert 0.4 < time.monotonic() - begin < 4 or (answered and not sent)  # uvicorn's 5 s between requests


@pytest.mark.parametrize("start", [b"GET /", HEALTH + b"X-Long: "])
def test_a_head_may_have_so_many_bytes(guarded, start):
    with connect_to(guarded) as connection:
        connection.sendall(start + b"a" * (HEAD_BYTES - len(start) - 1))
        time.sleep(0.1)
        connection.sendall(b"a")
        assert connection.recv(1000).startswith(b"HTTP/1.1 431 ")
        assert connection.recv(1000) == b""


def test_what_comes_with_a_body_may_have_so_many_bytes(guarded):
    with connect_to(guarded) as connection:
        head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAuthorization: Bearer " + TOKEN.encode()
        connection.sendall(head + b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: ")
        time.sleep(0.1)
        connection.sendall(b"a" * HEAD_BYTES)
        assert connection.recv(1000) == b""  # and not 408, in the end


def test_a_head_just_smaller_is_read(guarded):
    with connect_to(guarded) as connection:
        connection.sendall(HEALTH + b"X-Long: " + b"a" * (HEAD_BYTES - len(HEALTH) - 12) + b"\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_what_follows_an_early_answer_is_not_read_for_ever(guarded):
    with connect_to(guarded) as connection:
        connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 404 ")
        assert trickle_until_closed(connection) < 10


def test_of_very_many_connections_some_are_told_so_and_the_rest_closed(monkeypatch):
    monkeypatch.setattr("tasks.serving.running.CONNECTIONS", 2)
    monkeypatch.setattr("tasks.serving.connection.SPARE_CONNECTIONS", 1)
    with running() as server:
        assert server.client.get("/health").status_code == 200
        with connect_to(server), connect_to(server) as third, connect_to(server) as fourth:
            assert fourth.recv(1000) == b""
            third.sendall(HEALTH + b"\r\n")
            assert third.recv(1000).startswith(b"HTTP/1.1 503 ")


def test_a_text_of_many_words_is_not_explained(guarded):
    answer = guarded.client.post("/explain", json={"text": "a b c d e f"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["msg"] == "6 words: at most 5 are explained"


def test_a_text_whose_repetitions_would_be_too_long_is_not_explained(server, champion):
    text = "word " * 400 + "." * 8400
    answer = server.client.post("/explain", json={"text": text + "." * 100})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "text"])
    told = "10,500 characters, once whole and once without each word: 4,210,500, of at most 4,194,304"
    assert answer.json()["detail"][0]["msg"] == told
    words = server.client.post("/explain", json={"text": text}).json()["words"]
    assert len(words) == 400


# Under load


@pytest.fixture
def held_back(monkeypatch):
    """Servers that are started in this test score once `let` is set; `begun` tells that one is about to."""
    let, begun, score = threading.Event(), threading.Event(), Follower.score

    def wait(self, texts):
        begun.set()
        assert let.wait(SECONDS)
        return score(self, texts)

    monkeypatch.setattr(Follower, "score", wait)
    yield let, begun
    let.set()


def test_beyond_what_may_wait_a_request_is_told_to_come_again(held_back):
    let, begun = held_back
    with running(queue_texts=2, request_seconds=SECONDS) as server, ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.predict, "a")
        assert begun.wait(SECONDS)
        second = pool.submit(server.predict, "a", "b")
        while server.metric("reprise_waiting_texts") < 2:
            time.sleep(0.01)
        refused = server.client.post("/predict", json={"texts": ["a"]})
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert server.client.get("/health").status_code == 200
        let.set()
        assert [len(one.result()["predictions"]) for one in (first, second)] == [1, 2]


def test_a_request_that_waits_too_long_is_told_to_come_again(held_back):
    let, _ = held_back
    with running(request_seconds=0.2) as server:
        late = server.client.post("/predict", json={"texts": ["a"]})
        assert (late.status_code, late.headers["Retry-After"]) == (503, "1")
        let.set()


def test_a_model_that_fails_is_told_without_the_text(monkeypatch, caplog):
    def fail(self, texts):
        raise ValueError(f"what is {texts[0]}?")

    caplog.set_level(logging.INFO, "reprise")
    monkeypatch.setattr(Follower, "score", fail)
    with running() as server:
        answer = server.client.post("/predict", json={"texts": ["a secret review"]})
    assert (answer.status_code, answer.json()) == (500, {"detail": "the server failed; its log says where"})
    (line,) = [record.fields for record in caplog.records if getattr(record, "fields", {}).get("path") == "/predict"]
    assert (line["status"], line["texts"]) == (500, 1)
    assert line["error"].startswith("ValueError at test_server.py:")
    assert "secret" not in json.dumps(line)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("part", "name", "told"),
    [(Follower, "look", "follows the registry"), (Batcher, "_score_batch", "scores")],
)
def test_without_one_of_its_threads_it_is_not_ready(monkeypatch, part, name, told):
    def die(*_):
        raise MemoryError

    def begin(self, *args, **kwargs):  # of the server below alone: that of the other tests has these threads, too
        prepare(self, *args, **kwargs)
        setattr(self, name, die)

    prepare = part.__init__
    monkeypatch.setattr(part, "__init__", begin)
    with running(poll_seconds=0.1, request_seconds=0.5) as server:
        server.client.post("/predict", json={"texts": ["a"]})
        deadline = time.monotonic() + SECONDS
        while (answer := server.client.get("/ready")).status_code == 200 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert (answer.status_code, answer.json()["detail"]) == (503, f"the thread that {told} has died: start the server again")


def await_lines(caplog, count):
    """Return the fields of the log lines of so many requests, each of which comes after its answer."""
    deadline = time.monotonic() + 10
    while len(lines := [record.fields for record in caplog.records if record.getMessage() == "request"]) < count:
        assert time.monotonic() < deadline, lines
        time.sleep(0.01)
    return lines


def test_a_request_has_a_line_without_its_text(server, champion, caplog):
    caplog.set_level(logging.INFO, "reprise")
    server.client.post("/predict", json={"texts": ["a secret review", "b"]}, headers={"X-Request-ID": "one"})
    server.client.post("/predict?a=secret", json={"texts": [["a secret review"]]})
    server.client.get("/secret")
    lines = await_lines(caplog, 3)
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("POST", "/predict", 200),
        ("POST", "/predict", 422),
        ("GET", "other", 404),
    ]
    assert (lines[0]["texts"], lines[0]["version"], lines[0]["request_id"]) == (2, champion, "one")
    assert lines[0]["ms"] > 0
    assert "secret" not in json.dumps(lines)


# While the registry changes


def test_under_load_a_promotion_drops_no_request_and_mixes_no_answer(server, champion, add_version):
    new = add_version(2).version
    expected = {version: offline(version, REVIEWS) for version in (champion, new)}
    assert expected[champion] != expected[new]
    seen, ended = [], threading.Event()

    def ask():
        with httpx.Client(base_url=server.url, verify=NO_TLS, timeout=SECONDS) as client:
            while not ended.is_set():
                answer = client.post("/predict", json={"texts": REVIEWS})
                seen.append((answer.status_code, answer.json()))

    clients = [threading.Thread(target=ask) for _ in range(6)]
    for client in clients:
        client.start()
    try:
        time.sleep(0.3)
        make_champion(new)
        server.await_version(version=new)
        time.sleep(0.3)
    finally:
        ended.set()
        for client in clients:
            client.join()
    assert {status for status, _ in seen} == {200}
    assert all(probabilities(answer) == expected[answer["version"]] for _, answer in seen)
    assert {answer["version"] for _, answer in seen} == {champion, new}
    make_champion(champion)
    server.await_version(version=champion, trouble=None)


def test_a_champion_whose_files_were_changed_is_not_served(server, champion, add_version, working_folder):
    swaps, failures = server.metric("reprise_model_swaps_total"), server.metric("reprise_follow_failures_total")
    bad = add_version(3).version
    network = max(working_folder.rglob("model.keras"), key=lambda path: path.stat().st_mtime_ns)
    before = network.read_bytes()
    network.write_bytes(before[:-1] + b"x")
    make_champion(bad)
    told = server.await_trouble()
    assert (told["version"], told["trouble"]["version"]) == (champion, bad)
    assert "model.keras" in told["trouble"]["reason"]
    assert server.predict(*REVIEWS)["version"] == champion
    assert server.metric("reprise_follow_failures_total") > failures
    assert (server.metric("reprise_follow_trouble"), server.metric("reprise_model_swaps_total")) == (1, swaps)
    network.write_bytes(before)  # mended, it is served
    server.await_version(version=bad, trouble=None)
    make_champion(champion)
    server.await_version(version=champion, trouble=None)


def test_an_alias_that_was_moved_by_hand_is_not_followed(server, champion, add_version):
    other = add_version(4).version
    connect().set_registered_model_alias(NAME, "champion", other)
    told = server.await_trouble()
    assert "was moved by hand" in told["trouble"]["reason"]
    assert told["version"] == server.predict("a")["version"] == champion
    connect().set_registered_model_alias(NAME, "champion", champion)
    server.await_version(version=champion, trouble=None)


def test_without_a_registry_it_serves_on(server, champion, monkeypatch):
    with socket.socket() as taken, monkeypatch.context() as patch:
        taken.bind(("127.0.0.1", 0))
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        patch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{taken.getsockname()[1]}")
        assert "MLflow at http://127.0.0.1" in server.await_trouble()["trouble"]["reason"]
        assert server.predict("a")["version"] == champion
        assert server.client.get("/ready").status_code == 200
    server.await_version(version=champion, trouble=None)


def test_a_number_is_served_whatever_becomes_of_the_alias(server, champion, add_version):
    with running(version=champion, poll_seconds=0.1) as pinned:
        make_champion(new := add_version(5).version)
        server.await_version(version=new, trouble=None)
        assert pinned.version()["version"] == champion
        make_champion(champion)
        server.await_version(version=champion, trouble=None)
