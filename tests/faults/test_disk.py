"""Disks that are full, and limits that a process's files reach: by the product's own functions, and by whole trainings."""

import errno
import re
import resource
import shutil
import sqlite3
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pyarrow as pa
import pytest

from configs.loading import check_config, read_config
from tasks.abandoned_runs import end_abandoned_runs
from tasks.disk_space import find_full_disk, tell_full_disk, writing
from tasks.errors import DiskFull, InputError, StoreFull, UnsettledAlias
from tasks.ingestion.download import RemoteFile, download
from tasks.ingestion.files import locate
from tasks.mlflow_store import connect, reaching_mlflow
from tasks.recording import log_epoch
from tasks.registration.ledger import Draft, ensure_ledger
from tasks.registration.promotion import promote, read_base
from tasks.registration.versions import create_version, list_versions, make_challenger, read_aliases
from tasks.scoring.parts import spool_parts
from tasks.scoring.reading import Rows
from tasks.scoring.writing import open_rows, written_whole
from tasks.storage import write_output
from tasks.tracking import settle, training_run
from tasks.workspace import published, sha256_of_file

FULL = "disk full at checkpoint, artifact, database"
LIMIT = 200_000
"""Bytes that are left on the full disk, and that a file may have under the limit. What is written has 1,000,000 or more."""


class SmallDisk:
    """A disk of its own at a folder, which a test fills and makes room on."""

    def __init__(self, folder, mebibytes):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", folder]
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        if mounted.returncode:
            pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")

    def fill(self, leaving=0):
        """Fill it to the last byte, or leave about so many."""
        with (self.folder / "filler").open("ab", buffering=0) as file:
            for step in (1 << 20, 1 << 12, 1):
                with suppress(OSError):  # full it is
                    while shutil.disk_usage(self.folder).free > leaving:
                        file.write(b"x" * step)

    def make_room(self):
        (self.folder / "filler").unlink()

    @contextmanager
    def full(self, leaving=0):
        self.fill(leaving)
        try:
            yield
        finally:
            self.make_room()

    def close(self):
        subprocess.run(["umount", "--lazy", self.folder], check=True)


@pytest.fixture
def small_disk():
    disks = []

    def make(folder, mebibytes=16):
        disks.append(SmallDisk(folder, mebibytes))
        return disks[-1]

    yield make
    for disk in reversed(disks):
        disk.close()


@contextmanager
def limited_files():
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture(params=["full disk", "limit"])
def scarce(request, tmp_path, small_disk):
    """A folder, a context in which there is no room in it, and what is told of that."""
    if request.param == "limit":
        return tmp_path, limited_files, "a file of this process may have 200.0 kB at most: raise that limit, ulimit -f"
    disk = small_disk(tmp_path / "disk")
    told = rf"\d.* of 16.8 MB are free on {disk.folder}: make room, then give the same command again"
    return disk.folder, partial(disk.full, LIMIT), told


def publish_stage(folder, version):
    with published(folder / f"abc.{version}") as draft:
        np.save(draft / "ids.npy", np.full(200_000, version))


def write_report(folder, version):
    write_output("--report", str(folder / "run.json"), str(version) * 1_000_000)


def score_to_csv(folder, version):
    with written_whole(locate(str(folder / "out.csv"))) as stream:
        for _ in range(10):
            stream.write(str(version).encode() * 100_000)


def score_to_parquet(folder, version, extension=".parquet"):
    texts = [str(number) for number in np.random.default_rng(version).random(200_000)]
    rows = pa.record_batch({"text": texts})
    nothing = pa.RecordBatch.from_pylist([{}] * len(texts), pa.schema([]))
    with (
        written_whole(locate(str(folder / "out.parquet"))) as stream,
        open_rows(stream, extension, rows.schema, nothing.schema, as_lines=False) as write,
    ):
        write(rows, pa.RecordBatch.from_arrays([], schema=pa.schema([])))


def fetch(folder, version):
    source = folder.parent / f"source-{folder.name}"
    source.mkdir(exist_ok=True)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits[1], limits[1]))
    (source / "imdb.npz").write_bytes(str(version).encode() * 1_000_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=source)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            digest = f"sha256:{sha256_of_file(source / 'imdb.npz')}"
            download(RemoteFile(f"http://127.0.0.1:{server.server_port}/imdb.npz", digest), folder)
        finally:
            server.shutdown()
            thread.join()


def spool(folder, version):
    texts = pa.array([str(number) for number in np.random.default_rng(version).random(200_000)])
    rows = Rows(pa.RecordBatch.from_arrays([texts], names=["text"]), texts, pa.nulls(len(texts), pa.string()))
    for part in spool_parts([rows], 300_000, spool=folder, scores=folder):
        (folder / "000000000000.parquet").rename(folder / f"{version}.parquet")
        assert part.rows == 200_000


WRITES = {
    "a stage folder": (publish_stage, "abc.2"),
    "a report": (write_report, "run.json"),
    "a scored CSV": (score_to_csv, "out.csv"),
    "a scored Parquet": (score_to_parquet, "out.parquet"),
    "a download": (fetch, "imdb.npz"),
    "rows to be scored": (spool, ""),
}


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith("filler")
    }


@pytest.mark.fault(FULL)
@pytest.mark.parametrize("what", WRITES)
def test_what_finds_no_room_is_named_and_leaves_what_was_there(scarce, what):
    (folder, no_room, told), (write, name) = scarce, WRITES[what]
    write(folder, 1)
    before = contents(folder)
    assert before
    path = str(folder / name).rstrip("/")
    with (
        no_room(),
        pytest.raises(DiskFull, match=rf"^no room for .* {path} \(\d.* (are written|are wanted)\): {told}$") as caught,
    ):
        write(folder, 2)
    assert "\n" not in str(caught.value)
    left = contents(folder)
    if what == "rows to be scored":  # which lie in a folder that goes with the job
        left.pop("000000000000.parquet")
    assert left == before
    write(folder, 2)
    assert contents(folder) != before


@pytest.fixture
def store(small_disk, embedded_mlflow, migrated_store):
    """An embedded MLflow store on a disk of its own, with a champion, version 1."""
    disk = small_disk(embedded_mlflow)
    shutil.copy(migrated_store, embedded_mlflow / "mlflow.db")
    ensure_ledger("model")
    connect().create_model_version("model", source="s3://none/none")
    promote(read_base("model"), draft("1"))
    return disk


@pytest.mark.fault(FULL)
def test_artifacts_on_a_disk_of_their_own_are_told_from_the_database(embedded_mlflow, small_disk, config):
    disk = small_disk(embedded_mlflow / "artifacts")
    with training_run(config, name="x", tags={}) as run:
        settle(run.run_id, 60)
        with disk.full(), pytest.raises(StoreFull, match=f"free on {disk.folder}: "):
            log_artifact(run, embedded_mlflow / "summary.txt", 1_000)


@pytest.fixture
def config():
    return check_config({**read_config("sample"), "tracking": {"system_metrics": False}}, "sample")


def draft(version):
    return Draft(name="model", version=version, action="gate", outcome="promote", reason="It is better.")


def log_artifact(run, file, size=4_000_000):
    file.write_bytes(b"x" * size)
    with reaching_mlflow():
        connect().log_artifact(run.run_id, str(file))


def register(run):
    make_challenger(create_version("model", run, model_id="", model_uri="s3://none/none", weights_sha256="0", tags={"a": "b"}))


TELLS = r"^no room for what a run records in {} \(\d.* are written\): \d.* of 16.8 MB are free on {}: make room, then "


@pytest.mark.fault(FULL)
@pytest.mark.parametrize("what", ["an artifact", "a metric", "a version"])
def test_a_store_that_is_full_ends_the_run_and_registers_nothing(store, config, tmp_path, what):
    def work(run):
        if what == "an artifact":
            log_artifact(run, tmp_path / "model.keras")
        elif what == "a metric":
            log_epoch(run, 1, {"loss": 0.5})
        register(run)

    def train():
        with training_run(config, name="x", tags={}) as run:
            settle(run.run_id, 60)
            store.fill(1_000_000 if what == "an artifact" else 0)
            work(run)

    with pytest.raises(StoreFull, match=TELLS.format(store.folder, store.folder)):
        train()
    with suppress(StoreFull):
        end_abandoned_runs()  # which must not give up what there is no room for yet
    store.make_room()
    assert [version.version for version in list_versions()] == ["1"]
    assert read_aliases("model") == {"champion": "1"}
    end_abandoned_runs()
    (run,) = connect().search_runs([connect().get_experiment_by_name("sample").experiment_id])
    assert run.info.status == "FAILED"  # where its end found no room, the journal had it
    assert run.data.metrics == ({"epoch/train_loss": 0.5} if what == "a metric" else {})
    with training_run(config, name="x", tags={}) as run:
        work(run)
    assert {version.version for version in list_versions()} == {"1", "2"}


@pytest.mark.fault(FULL)
def test_a_promotion_on_a_full_disk_leaves_the_champion(store, config):
    with training_run(config, name="x", tags={}) as run:
        register(run)
    base = read_base("model")
    with store.full(), pytest.raises(StoreFull) as caught:
        promote(base, draft("2"))
    assert not isinstance(caught.value, UnsettledAlias)
    assert read_aliases("model") == {"champion": "1", "challenger": "2"}
    promote(read_base("model"), draft("2"))
    assert read_aliases("model") == {"champion": "2"}


WAYS_TO_SAY_FULL = {
    "the system": OSError(errno.ENOSPC, "No space left on device"),
    "a quota": OSError(errno.EDQUOT, "Disk quota exceeded"),
    "HDF5": OSError("Can't write data (file write failed: error message = 'No space left on device', buf = 0x1)"),
    "NumPy": OSError("200000 requested and 24984 written"),
    "MLflow": RuntimeError("(sqlite3.OperationalError) database or disk is full"),
}
OTHER_ERRORS = {
    "another error": OSError(errno.EIO, "No space left on device, or so says who has not read the number"),
    "another of SQLite's": sqlite3.OperationalError("database is locked"),
    "one without a message": ValueError(),
}


@pytest.mark.parametrize("error", WAYS_TO_SAY_FULL.values(), ids=WAYS_TO_SAY_FULL)
def test_a_full_disk_is_known_whoever_tells_of_it_and_through_whatever_it_came(error, tmp_path):
    (tmp_path / "half").write_bytes(b"x" * 2_000)

    def fail():
        with writing(tmp_path / "file", "the file", draft=tmp_path / "half"):
            try:
                raise error
            except Exception as cause:
                raise RuntimeError("no more") from cause

    with pytest.raises(
        DiskFull, match=rf"^no room for the file {tmp_path}/file \(2.0 kB of it are written\): .* are free on /"
    ):
        fail()
    quota = "and a quota is used up" in tell_full_disk(error, tmp_path, "x")
    assert quota == (getattr(error, "errno", None) == errno.EDQUOT)


@pytest.mark.parametrize("error", OTHER_ERRORS.values(), ids=OTHER_ERRORS)
def test_another_error_stays_what_it_is(error, tmp_path):
    with pytest.raises(type(error)) as caught, writing(tmp_path, "x"):
        raise error
    assert caught.value is error


def test_what_already_says_what_to_do_stays_what_it_is(tmp_path):
    with pytest.raises(InputError), writing(tmp_path, "x"):
        raise InputError("the column 'No space left on device' is none") from WAYS_TO_SAY_FULL["the system"]


def test_a_disk_that_is_all_but_full_is_found(small_disk, tmp_path):
    disk = small_disk(tmp_path / "disk")
    assert find_full_disk([tmp_path, disk.folder]) is None
    with disk.full(100_000):
        told = find_full_disk([tmp_path, disk.folder / "not" / "there"])
        assert re.fullmatch(rf"\d.* of 16.8 MB are free on {disk.folder}: make room, then give the same command again", told)


@pytest.mark.long
@pytest.mark.fault(FULL)
def test_trainings_that_find_no_room_register_nothing_and_go_on_once_there_is_some(
    workplace, small_disk, migrated_store, tries
):
    folder = workplace.folder
    disks = {
        "a checkpoint": small_disk(folder / ".reprise", 64),
        "the database": small_disk(folder / "mlruns", 64),
        "an artifact": small_disk(folder / "mlruns" / "artifacts", 64),
    }
    shutil.copy(migrated_store, folder / "mlruns" / "mlflow.db")
    workplace.run("train", "--config", workplace.write_config())
    before = aliases(workplace)
    assert before == {"champion": "1"}

    for number, (what, disk) in enumerate(disks.items()):
        # Other weights, and worse: the champion stays.
        config = workplace.write_config("training.seed=1", f"training.learning_rate={1e-4 + 1e-5 * number}")
        process = workplace.start("train", "--config", config)
        for line in process.stdout:
            if line.startswith("Epoch 1/"):
                disk.fill()
        errors = process.stderr.read()
        assert process.wait(timeout=60) == 1, (what, errors)
        assert len(errors.splitlines()) == 1, (what, errors)
        told = rf"error: no room for .* {folder}/.* \(\d.*\): \d.* of 67.1 MB are free on {disk.folder}: make room, then give"
        assert re.match(told, errors), (what, errors)
        disk.make_room()
        assert aliases(workplace) == before
        assert len(workplace.store.search_model_versions("name = 'slice-lstm'")) == number + 1

        workplace.run("train", "--config", config)
        before = {"champion": "1", "challenger": str(number + 2)}
        assert aliases(workplace) == before
        tries(len(disks), number + 1)


def aliases(workplace):
    return {alias: str(version) for alias, version in workplace.store.get_registered_model("slice-lstm").aliases.items()}


@pytest.mark.long
@pytest.mark.fault(FULL)
def test_a_full_disk_below_the_commands_own_prefect_api_ends_it_in_one_line(workplace, small_disk):
    """Prefect's API answers 500 where its database has no room."""
    del workplace.environment["PREFECT_API_URL"]
    disk, config = small_disk(workplace.folder / ".reprise", 64), workplace.write_config()
    process = workplace.start("train", "--config", config)
    for line in process.stdout:
        if "ingestion" in line:
            disk.fill()
            filled = time.monotonic()
    errors = process.stderr.read()
    assert process.wait(timeout=60) == 1, errors
    assert time.monotonic() - filled < 60
    assert len(errors.splitlines()) == 1, errors
    assert f"of 67.1 MB are free on {disk.folder}: make room, then give the same command again" in errors
    disk.make_room()
    workplace.run("train", "--config", config)
