"""What takes a minute or more: a real MLflow server, `mlflow models serve`, twenty swaps, a thousand real reviews."""

import os
import subprocess
import sys
import threading
import time

import httpx
import psutil
import pytest

from configs.serving import ServingConfig
from flows.servers import free_port
from tasks.mlflow_store import tracking_uri
from tasks.registration.scoring import score_texts
from tasks.registration.versions import find_version
from tasks.serving.running import ModelServer, listen
from tests.benchmarks.serving import serving
from tests.registration.small_model import NAME, TEXTS
from tests.serving.conftest import NO_TLS, SECONDS, Running, make_champion, running

pytestmark = pytest.mark.long
REVIEWS = [one for one in TEXTS if one]
SWAPS, ALLOWED_MIB = 20, 40


def test_a_promotion_through_a_real_server_drops_no_request_and_its_end_neither(server, add_version, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.port}")
    old, new = add_version(11).version, add_version(12).version
    make_champion(old)
    expected = {
        one: [each["probability"] for each in score_texts(find_version(NAME, one).summary, REVIEWS)] for one in (old, new)
    }
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    seen, ended = [], threading.Event()

    def ask():
        with httpx.Client(base_url=url, verify=NO_TLS, timeout=SECONDS) as client:
            while not ended.is_set():
                answer = client.post("/predict", json={"texts": REVIEWS})
                seen.append((answer.status_code, answer.json()))

    command = ["flows.cli", "serve", "--model", NAME, "--port", str(port), "--poll-seconds", "0.5"]
    with serving(command, f"{url}/ready", tmp_path / "log"), (one := Running(url, None)).client:
        clients = [threading.Thread(target=ask) for _ in range(8)]
        for each in clients:
            each.start()
        try:
            make_champion(new)
            one.await_version(version=new, trouble=None)
            time.sleep(1)
            server.stop()
            assert "MLflow at" in one.await_trouble()["trouble"]["reason"]
            assert one.client.get("/ready").status_code == 200
        finally:
            ended.set()
            for each in clients:
                each.join()
            server.start()
        one.await_version(version=new, trouble=None)
    assert {status for status, _ in seen} == {200}
    assert {answer["version"] for _, answer in seen} == {old, new}
    assert all([each["probability"] for each in answer["predictions"]] == expected[answer["version"]] for _, answer in seen)


def test_mlflows_own_server_gives_the_same_scores(working_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri())
    port = free_port()
    command = [
        "mlflow",
        "models",
        "serve",
        "--model-uri",
        f"models:/{NAME}@champion",
        "--env-manager",
        "local",
        "--port",
        str(port),
    ]
    with serving(command, f"http://127.0.0.1:{port}/health", tmp_path / "log"), httpx.Client(verify=NO_TLS) as client:
        theirs = client.post(f"http://127.0.0.1:{port}/invocations", json={"inputs": REVIEWS}, timeout=SECONDS).json()
    with running() as server:
        assert server.predict(*REVIEWS)["predictions"] == theirs["predictions"]


def test_memory_does_not_grow_with_swaps(add_version):
    versions = [add_version(21).version, add_version(22).version]
    process = psutil.Process()
    with running(poll_seconds=0.1) as server:
        sizes = []
        for swap in range(SWAPS + 4):
            make_champion(versions[swap % 2])
            server.await_version(version=versions[swap % 2], trouble=None)
            server.predict(*REVIEWS * 20)
            sizes.append(process.memory_info().rss >> 20)
    assert sizes[-1] - sizes[3] < ALLOWED_MIB, sizes


def test_a_thousand_real_reviews_have_the_scores_that_they_have_offline(real_imdb, tmp_path, monkeypatch):
    import pandas as pd

    monkeypatch.chdir(tmp_path)
    train = [sys.executable, "-m", "flows.cli", "train", "--config", "imdb", "--data", str(real_imdb / "imdb.npz")]
    subprocess.run([*train, "--set", "training.epochs=1"], check=True, env=os.environ, capture_output=True)
    texts = pd.read_parquet(real_imdb / "test.parquet", columns=["text"])["text"].sample(1000, random_state=0).tolist()
    offline = [one["probability"] for one in score_texts(find_version("imdb-lstm", "1").summary, texts)]
    ready = threading.Event()
    server = ModelServer(ServingConfig(version="1"), "imdb-lstm", None, ready.set)
    at = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=[at])
    thread.start()
    try:
        assert ready.wait(SECONDS)
        one = Running(f"http://127.0.0.1:{at.getsockname()[1]}", None)
        served = [each["probability"] for text in texts for each in one.predict(text)["predictions"]]
    finally:
        server.stop()
        thread.join()
    assert len(served) == 1000
    assert max(abs(left - right) for left, right in zip(served, offline, strict=True)) <= 1e-6
