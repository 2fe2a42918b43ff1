"""Concurrent promotions: of those that start from one base, exactly one may win.

In each round several long-lived processes read the base, wait for each other, and promote a version each. A round is wrong
unless one of them wins, all others are told that their base is stale, and ledger and alias name the winner. The stores are the
embedded SQLite; the same with a lock for each process, so that nothing but MLflow keeps them apart; and a server.
"""

import argparse
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from rich.table import Table

from tasks.errors import RepriseError, StaleBase
from tasks.mlflow_store import connect
from tasks.registration.ledger import Draft, ensure_ledger, read_ledger
from tasks.registration.promotion import Base, promote, read_base
from tasks.registration.versions import CHAMPION, read_aliases
from tests.benchmarks.workplace import working_apart

MODEL = "race"
STORES = ("SQLite", "SQLite, no shared lock", "server")
WAIT_SECONDS = 120


def measure_race(arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], Table]:
    """Race on each store."""
    measured = []
    for store in STORES:
        with working_apart() as folder:
            if store == "server":
                with mlflow_server(folder) as url:
                    result = race(arguments.rounds, arguments.promoters, url)
            else:
                connect()
                database = f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}"
                result = race(arguments.rounds, arguments.promoters, database, shared_lock=store == "SQLite")
        measured.append({"store": store, **result})
    table = Table("store", "rounds", "promoters", "wrong", "s", title="Promotions at once from one base", title_justify="left")
    for row in measured:
        table.add_row(row["store"], str(row["rounds"]), str(row["promoters"]), str(row["wrong"]), f"{row['seconds']:.1f}")
        for fault in row["faults"]:
            table.add_row(fault)
    return measured, table


def race(rounds: int, promoters: int, tracking_uri: str, *, shared_lock: bool = True) -> dict[str, Any]:
    """Return how many rounds went wrong, what was wrong with them, and the seconds that all rounds took.

    Args:
        rounds: how many promotions are fought over.
        promoters: processes that fight; each promotes a version of its own.
        tracking_uri: an MLflow server, or a database that was migrated; it becomes this process's `MLFLOW_TRACKING_URI`.
        shared_lock: whether the promoters work in one folder, whose locks they share where the store is embedded.
    """
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri
    ensure_ledger(MODEL)
    # Twice as many versions as promoters, so that none promotes the present champion.
    versions = [str(connect().create_model_version(MODEL, source="s3://none/none").version) for _ in range(2 * promoters)]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tasks.registration.promotion"])
    barrier = context.Barrier(promoters)
    pipes, processes = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for index in range(promoters):
            folder = Path.cwd() if shared_lock else Path(scratch) / str(index)
            folder.mkdir(exist_ok=True)
            pipe, far_end = context.Pipe()
            processes.append(context.Process(target=_promoter, args=(far_end, barrier, folder, tracking_uri), daemon=True))
            processes[-1].start()
            pipes.append(pipe)
        wrong = []
        for pipe in pipes:
            pipe.recv()
        start = time.perf_counter()
        for number in range(1, rounds + 1):
            contenders = versions[:promoters] if number % 2 else versions[promoters:]
            for pipe, version in zip(pipes, contenders, strict=True):
                pipe.send(version)
            outcomes = [pipe.recv() if pipe.poll(WAIT_SECONDS) else "no answer" for pipe in pipes]
            fault = _fault(number, contenders, outcomes)
            if fault:
                wrong.append(f"round {number}: {fault}")
        seconds = time.perf_counter() - start
        for pipe, process in zip(pipes, processes, strict=True):
            pipe.send(None)
            process.join(WAIT_SECONDS)
    return {"rounds": rounds, "promoters": promoters, "wrong": len(wrong), "faults": wrong, "seconds": round(seconds, 2)}


def _promoter(pipe: Connection, barrier: Barrier, folder: Path, tracking_uri: str) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri
    os.chdir(folder)
    connect()
    pipe.send("ready")
    while (version := pipe.recv()) is not None:
        base = read_base(MODEL)
        draft = Draft(name=MODEL, version=version, action="gate", outcome="promote", reason="the race", figures={"gain": 0.01})
        barrier.wait(WAIT_SECONDS)
        pipe.send((base, _outcome(base, draft)))


def _outcome(base: Base, draft: Draft) -> str:
    try:
        promote(base, draft)
    except StaleBase:
        return "stale"
    except RepriseError as error:
        return f"{type(error).__name__}: {error}"
    return "won"


def _fault(number: int, contenders: list[str], outcomes: list[Any]) -> str | None:
    if "no answer" in outcomes:
        return "a promoter did not answer"
    bases, ends = zip(*outcomes, strict=True)
    entries = read_ledger(MODEL)
    alias = read_aliases(MODEL).get(CHAMPION)
    if set(bases) != {bases[0]}:
        return f"the bases were {bases}"
    if sorted(ends) != ["stale"] * (len(ends) - 1) + ["won"]:
        return f"the promoters ended as {ends}"
    winner = contenders[ends.index("won")]
    if (len(entries), entries[-1].champion_after, alias) != (number, winner, winner):
        return f"version {winner} won, the alias is at {alias}, and the last of {len(entries)} entries is {entries[-1]}"
    return None


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """Start an MLflow server of its own on a free port, yield its address once it answers, and stop it with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True)
    try:
        for _ in range(WAIT_SECONDS * 10):
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=2):  # noqa: S310 (loopback http)
                    break
            except OSError:
                if process.poll() is not None:
                    break
                time.sleep(0.1)
        if process.poll() is not None:
            raise RuntimeError(f"the MLflow server ended: {(folder / 'server.log').read_text()[-2000:]}")
        yield url
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 15)
            process.wait()
