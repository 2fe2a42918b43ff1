"""Processes that are killed while they write, through the product's own functions: what was there before, or all of the new."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.loading import check_config, check_section, read_config
from configs.sweep import SweepConfig
from tasks.ingestion.download import RemoteFile, download
from tasks.mlflow_store import connect
from tasks.results import LEFTOVER_AGE, hold_result, list_kept, prune, result_folders
from tasks.scoring.parts import Part
from tasks.search.storage import studies_folder
from tasks.search.study import draw_trial, enter_figure, open_study
from tasks.workspace import home, is_whole

KILLED = "kill -9 while a checkpoint, a stage folder or a download is being written"
KILLS = 12
FORKS = """
import os, signal, sys
from pathlib import Path
{imports}
{writer}
folder = Path(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            write(folder)
            signal.pause()
        finally:
            os._exit(1)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


class Writer:
    """Starts processes that all do the same: `write(folder)`, defined by `code`. They are forked, which spares the imports."""

    def __init__(self, folder, imports, writer):
        code = FORKS.format(imports=imports, writer=writer)
        command = [sys.executable, "-c", code, str(folder)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self._parent = subprocess.Popen(command, start_new_session=True, **pipes)
        assert self._parent.stdout.readline() == "ready\n"

    def kill_when(self, is_time, *, and_after=0.0):
        """Start one, and kill it with signal 9 so many seconds after `is_time()` is first true."""
        self._parent.stdin.write("\n")
        child = int(self._parent.stdout.readline())
        deadline = time.monotonic() + 60
        while not is_time():
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(and_after)
        with suppress(ProcessLookupError):  # it was faster
            os.kill(child, signal.SIGKILL)
        assert self._parent.stdout.readline() == "ended\n"

    def close(self):
        os.killpg(self._parent.pid, signal.SIGKILL)  # with a child that a failed test has left
        self._parent.wait()
        self._parent.stdin.close()
        self._parent.stdout.close()


@pytest.fixture
def writer():
    with ExitStack() as stack:

        def start(folder, imports, writer):
            started = Writer(folder, imports, writer)
            stack.callback(started.close)
            return started

        yield start


def moments(last, count=KILLS):
    """Random moments, in seconds, the same in each run."""
    return list(np.random.default_rng(6).uniform(0.0, last, count))


def make_old(paths):
    """Give leftovers the age from which on prune takes them."""
    then = time.time() - 2 * LEFTOVER_AGE.total_seconds()
    for path in paths:
        os.utime(path, (then, then))


def prune_leftovers():
    """Check that what killed processes left is shown as unfinished and goes, and return its groups."""
    leftovers = [one for one in list_kept() if one.leftover]
    make_old(one.path for one in leftovers)
    removed, spared = prune(10 * LEFTOVER_AGE)
    assert {one.path for one in removed} == {one.path for one in leftovers}
    assert spared == []
    assert not any(one.leftover for one in list_kept())
    return {one.group for one in leftovers}


PUBLISH = """
def write(folder):
    while True:
        target = next_result_folder("padding", "abc")
        number = int(target.suffix[1:])
        with published(target) as draft:
            for part in range(3):
                np.save(draft / f"{part}.npy", np.full(1_000_000, number))
        remove_superseded("padding", "abc")
"""


def newest_number():
    return max((int(folder.suffix[1:]) for folder in result_folders("padding", "abc")), default=0)


@pytest.mark.fault(KILLED)
def test_a_stage_folder_is_the_one_before_or_the_new_one(writer, tries):
    """As of a checkpoint, which is published in the same way."""
    process = writer(home(), "import numpy as np\nfrom tasks.results import *\nfrom tasks.workspace import published", PUBLISH)
    newest, survived = 0, 0
    for moment in moments(0.3):
        process.kill_when(lambda before=newest: newest_number() > before, and_after=moment)
        with ExitStack() as held:
            found = hold_result("padding", "abc", held)
            number = int(found.suffix[1:])
            assert number > newest
            assert all(is_whole(folder) for folder in result_folders("padding", "abc"))
            for part in range(3):
                assert np.all(np.load(found / f"{part}.npy") == number)
        newest, survived = number, survived + 1
        tries(KILLS, survived)
    assert prune_leftovers() == {"padding"}  # else no kill came in time


FILES = {
    "a scored table": (
        "from tasks.ingestion.files import locate\nfrom tasks.scoring.writing import written_whole",
        'written_whole(locate(str(folder / "out.csv")))',
    ),
    "a report": ("from tasks.storage import write_output", None),
}
REWRITE = """
def write(folder):
    while True:
        for digit in b"123456789":
            with {opened} as stream:
                for _ in range(40):
                    stream.write(bytes([digit]) * 100_000)
"""
REPORT = """
def write(folder):
    while True:
        for digit in "123456789":
            write_output("--report", str(folder / "out.csv"), digit * 4_000_000)
"""


@pytest.mark.fault(KILLED)
@pytest.mark.parametrize("what", FILES)
def test_an_output_is_the_one_before_or_the_new_one(writer, tmp_path, tries, what):
    imports, opened = FILES[what]
    process = writer(tmp_path, imports, REPORT if opened is None else REWRITE.format(opened=opened))
    output, unfinished = tmp_path / "out.csv", 0
    for survived, moment in enumerate(moments(0.05)):
        before = number_of(output)
        process.kill_when(lambda before=before: number_of(output) != before, and_after=moment)
        content = output.read_bytes()
        assert content == content[:1] * 4_000_000
        unfinished += any(path.name.startswith(".out.csv.") for path in tmp_path.iterdir())
        tries(KILLS, survived + 1)
    assert unfinished  # else no kill came in time


def number_of(file):
    """The inode of a file, another for each that took its name."""
    return file.stat().st_ino if file.exists() else None


CONTENT = bytes(range(256)) * 8_000


@pytest.fixture
def slow_host():
    """The URL of a file of which a block comes every few milliseconds, and its digest."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            try:
                for at in range(0, len(CONTENT), 1 << 16):
                    self.wfile.write(CONTENT[at : at + (1 << 16)])
                    time.sleep(0.002)
            except ConnectionError:  # who asked was killed
                pass

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/imdb.npz", f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.fault(KILLED)
def test_a_download_is_there_whole_or_not_at_all(writer, slow_host, tries):
    folder = home() / "downloads"
    code = f"def write(folder): download(RemoteFile(*{slow_host!r}), folder)"
    process = writer(folder, "from tasks.ingestion.download import RemoteFile, download", code)
    for survived, moment in enumerate(moments(0.15)):
        process.kill_when(lambda: list(folder.glob("?imdb.npz.*")) or (folder / "imdb.npz").exists(), and_after=moment)
        assert not (folder / "imdb.npz").exists() or (folder / "imdb.npz").read_bytes() == CONTENT
        (folder / "imdb.npz").unlink(missing_ok=True)
        for number, draft in enumerate(folder.glob(".imdb.npz.*")):
            draft.rename(folder / f".kept-{survived}-{number}")  # so that the next one's is told from it
        tries(KILLS, survived + 1)
    assert download(RemoteFile(*slow_host), folder).read_bytes() == CONTENT
    assert prune_leftovers() == {"downloads"}  # else no kill came in time
    assert [path.name for path in folder.iterdir()] == ["imdb.npz"]


SCORE = """
def write(folder):
    part = Part(spool=str(folder / "spool.parquet"), scores=str(folder / "scores"), first=0, rows=20_000)
    score_part(part, lambda texts: np.full(len(texts), 0.5))
"""


@pytest.mark.fault(KILLED)
def test_the_scores_of_a_part_are_there_whole_or_not_at_all(writer, tmp_path, tries):
    texts = pa.array(["a film that I will not forget"] * 20_000)
    pq.write_table(pa.table({"texts": texts, "faults": pa.nulls(20_000, pa.string())}), tmp_path / "spool.parquet")
    process = writer(tmp_path, "import numpy as np\nfrom tasks.scoring.parts import Part, score_part", SCORE)
    part = Part(spool=str(tmp_path / "spool.parquet"), scores=str(tmp_path / "scores"), first=0, rows=20_000)
    unfinished = 0
    for survived, moment in enumerate(moments(0.05)):
        process.kill_when(lambda: list(tmp_path.glob("*scores*")), and_after=moment)
        assert part.is_scored() == (tmp_path / "scores").exists()
        if part.is_scored():
            assert pq.read_metadata(tmp_path / "scores" / "scores.parquet").num_rows == part.rows
            shutil.rmtree(tmp_path / "scores")
        for draft in tmp_path.glob(".scores.*"):
            shutil.rmtree(draft)
            unfinished += 1
        tries(KILLS, survived + 1)
    assert unfinished  # else no kill came in time


@pytest.mark.fault(KILLED)
def test_a_new_store_is_made_whole_or_made_again(writer, tmp_path, tries, monkeypatch):
    """MLflow cannot go on with a database that is half migrated."""
    code = "def write(folder):\n    os.chdir(folder)\n    connect()"
    process = writer(tmp_path, "from tasks.tracking import connect", code)
    store, draft = tmp_path / "mlruns", tmp_path / "mlruns" / ".mlflow.db.unfinished"
    sizes = (100_000, 700_000)  # of about 950,000 bytes
    for survived, size in enumerate(sizes):
        process.kill_when(lambda size=size: draft.exists() and draft.stat().st_size >= size)
        assert draft.exists()
        assert not (store / "mlflow.db").exists()
        tries(len(sizes), survived + 1)
    monkeypatch.chdir(tmp_path)
    assert connect().search_experiments(max_results=1)
    assert {".migration.lock", "mlflow.db"} == {path.name for path in store.iterdir()} - {"artifacts"}


@pytest.mark.fault(KILLED)
def test_a_sweeps_journal_goes_on_after_half_a_line():
    """Optuna itself reads no further than the first line that follows one."""
    first = draw_and_finish()
    journal = studies_folder() / "x.journal"
    with journal.open("a") as file:
        file.write('{"op_code": 4, "worker_id"')
    assert draw_and_finish() == first + 1
    assert all(json.loads(line) for line in journal.read_text().splitlines())
    assert draw_and_finish() == first + 2


def draw_and_finish():
    config = check_config(read_config("sample"), "sample")
    space = {"training.learning_rate": {"low": 0.001, "high": 0.1, "log": True}}
    sweep = check_section({"name": "x", "trials": 4, "pruner": "none", "space": space}, "x", SweepConfig)
    study = open_study(sweep, config)
    trial = draw_trial(study, sweep, config)
    enter_figure(study, sweep, trial, 0.5)
    return trial.number
