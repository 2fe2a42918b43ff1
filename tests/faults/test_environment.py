"""Odd environments: the command works in them, or says in one line what is wrong and what to do.

What needs a user without rights is run as one: root writes anywhere.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.abandoned_runs import end_abandoned_runs
from tasks.errors import InputError
from tasks.mlflow_store import connect, ensure_experiment
from tasks.registration import ledger
from tasks.registration.ledger import Draft, ensure_ledger, read_ledger
from tasks.registration.promotion import promote, read_base
from tasks.results import list_kept, prune
from tasks.tracking import run_folder
from tasks.workspace import home, published
from tests.flows.conftest import command  # noqa: F401 (a fixture)

odd = pytest.mark.fault("clock, TZ, HOME, read-only, no network, odd paths")
SAMPLE = ("train", "--config", "sample", "--set", "training.epochs=1", "--set", "tracking.system_metrics=false")
NOBODY = 12345
ODD_NAME = "a#b %20 100% ü映'q [g]* ;&"
REPOSITORY = Path(__file__).parents[2]


def run(*asked, cwd, code=0, before=(), **environment):
    """Run the command in a bare environment, and return its two outputs; an error is one line."""
    given = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(REPOSITORY),
        "COLUMNS": "200",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **environment,
    }
    arguments = [*before, sys.executable, "-m", "flows.cli", *map(str, asked)]
    done = subprocess.run(arguments, cwd=cwd, env=given, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if code:
        assert len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == 1, done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def nobody():
    """What runs a command as a user without a name, a home or the right to write, who may read the interpreter all the same."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user; the tests run as one who may not write where they may not")
    if not shutil.which("setpriv"):
        pytest.skip("there is no setpriv(1) to become another user with")
    read = [f"--{kind}-caps=-all,+dac_read_search" for kind in ("inh", "ambient")]  # codespell:ignore inh
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *read]
    if subprocess.run([*become, sys.executable, "-c", "pass"], capture_output=True).returncode != 0:
        pytest.skip("setpriv(1) cannot leave another user the right to read the interpreter here")
    return become


@pytest.fixture
def promoted(embedded_mlflow):
    """A working folder with a registered model of two versions, one after the other champion."""
    ensure_ledger("model")
    for version in ("1", "2"):
        connect().create_model_version("model", source="s3://none/none")
        promote(read_base("model"), make_draft(version))
    return embedded_mlflow.parent


def make_draft(version):
    return Draft(name="model", version=version, action="gate", outcome="promote", reason="It is better.")


def give_to_nobody(*folders):
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)


@odd
@pytest.mark.parametrize("arguments", [("models",), SAMPLE, ("cache", "prune", "--older-than", "0h")])
def test_a_folder_that_may_not_be_written_is_named(nobody, tmp_path, arguments):
    tmp_path.chmod(0o755)
    _, errors = run(*arguments, cwd=tmp_path, code=1, before=nobody, REPRISE_HOME="")
    assert (
        f"error: {tmp_path}/.reprise: Permission denied, for {NOBODY}: work in a folder that this user may write to" in errors
    )
    assert list(tmp_path.iterdir()) == []


@odd
def test_a_store_that_may_not_be_written_is_named_and_nothing_changes(nobody, promoted, tmp_path):
    tmp_path.chmod(0o755)
    (promoted / ".reprise").mkdir()
    give_to_nobody(promoted / ".reprise")
    before = (promoted / "mlruns" / "mlflow.db").read_bytes()
    for arguments in (("models",), ("history",)):
        _, errors = run(*arguments, cwd=promoted, code=1, before=nobody)
        assert f"/mlruns/mlflow.db may not be used by {NOBODY}: " in errors
        assert "MLFLOW_TRACKING_URI names another store" in errors
    assert (promoted / "mlruns" / "mlflow.db").read_bytes() == before


@pytest.mark.long
@odd
def test_a_user_without_a_name_or_a_home_reads_and_is_entered_by_number(nobody, promoted, tmp_path):
    tmp_path.chmod(0o755)
    give_to_nobody(promoted / "mlruns")
    (promoted / ".reprise").mkdir()
    give_to_nobody(promoted / ".reprise")
    run("models", cwd=promoted, before=nobody)
    run("history", cwd=promoted, before=nobody, HOME="/nonexistent")
    code = (
        "import pathlib; from configs.environment import set_library_defaults; set_library_defaults(pathlib.Path('.reprise'))\n"
        "from tests.faults.test_environment import make_draft, promote, read_base; promote(read_base('model'), make_draft('1'))"
    )
    given = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([*nobody, sys.executable, "-c", code], cwd=promoted, env=given, check=True, capture_output=True)
    assert read_ledger("model")[-1].actor.startswith(f"{NOBODY}@")


@odd
@pytest.mark.long
@pytest.mark.parametrize("home_folder", [{}, {"HOME": "/nonexistent"}])
def test_a_user_without_a_name_or_a_home_trains(nobody, tmp_path, home_folder):
    os.chown(tmp_path, NOBODY, NOBODY)
    run(*SAMPLE, cwd=tmp_path, before=nobody, **home_folder)
    output, _ = run("models", "--json", cwd=tmp_path, before=nobody, **home_folder)
    assert json.loads(output)[0]["version"] == "1"


@odd
@pytest.mark.long
def test_a_folder_and_data_of_any_name_do(configure, real_slice, tmp_path):
    """Reached by a link, too; the store's address and the artifacts' are not the same text."""
    from tests.faults.conftest import Workplace

    folder = tmp_path / ODD_NAME
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    environment = {**os.environ, "COLUMNS": "200", "REPRISE_HOME": ""}
    workplace = Workplace(folder, environment, configure)
    data = folder / "r v#%é[1].csv"
    config = workplace.write_config("training.epochs=1")
    shutil.copy(real_slice, data)
    workplace.run("train", "--config", config, "--data", data, "--set", "data.split_column=split", cwd=tmp_path / "link")
    assert workplace.run("verify", cwd=tmp_path / "link")[0].count("holds") == 2
    assert "probability" in workplace.run("predict", "A film.")[0]
    assert sorted(path.name for path in folder.iterdir()) == sorted([".reprise", "fault.yaml", "mlruns", data.name])
    assert sorted(path.name for path in tmp_path.iterdir() if "reprise-home" not in path.name) == sorted([ODD_NAME, "link"])


@odd
@pytest.mark.parametrize("name", [ODD_NAME, "L" * 200, "new\nline", "a:b", "back\\slash"])
def test_a_store_in_a_folder_of_any_name_keeps_its_files_there(monkeypatch, tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    client = connect()
    run_id = client.create_run(ensure_experiment(client, "films é#%")).info.run_id
    client.log_text(run_id, "hello", "a/b.txt")
    assert Path(client.download_artifacts(run_id, "a/b.txt")).read_text() == "hello"
    assert ensure_experiment(client, "films é#%") == client.get_run(run_id).info.experiment_id
    (written,) = folder.rglob("b.txt")
    assert written.is_relative_to(folder / "mlruns" / "artifacts")
    assert {path.name for path in tmp_path.iterdir()} - {"reprise-home"} == {name}


@odd
@pytest.mark.parametrize("name", ["what?", "both'\""])
def test_a_folder_below_which_no_database_can_lie_is_refused(monkeypatch, tmp_path, name):
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    with pytest.raises(InputError, match=r"has a . or both kinds of quotes in its path, .*: work in another folder, or name"):
        connect()
    assert list(tmp_path.rglob("*")) == [tmp_path / name]


@odd
def test_a_folder_with_a_variable_in_its_name_is_refused(tmp_path):
    folder = tmp_path / "in $HOME"
    folder.mkdir()
    _, errors = run("models", cwd=folder, code=2, HOME="/root")
    assert (
        f"error: the workspace {folder}/.reprise has the name of a variable in its path: name another with REPRISE_HOME"
        in errors
    )
    assert list(tmp_path.rglob("*")) == [folder]


@odd
def test_a_working_folder_that_was_removed_is_told_of(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    before = ("sh", "-c", 'rmdir "$PWD"; exec "$@"', "sh")
    _, errors = run("models", cwd=gone, code=1, before=before)
    assert "error: the working folder is gone: change to one that is there" in errors


@odd
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Not/AZone"])
def test_the_time_zone_of_the_user_changes_no_time_that_is_told(promoted, command, monkeypatch, zone):  # noqa: F811
    told = {}
    try:
        for where in ("UTC", zone):
            monkeypatch.setenv("TZ", where)
            time.tzset()
            told[where] = [command(*asked).stdout for asked in (("history",), ("champion",), ("models",))]
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert told[zone] == told["UTC"]
    assert f"{read_ledger('model')[0].time:%Y-%m-%d %H:%M:%S}" in told[zone][0]


@pytest.fixture
def a_day_back(monkeypatch):
    """The clock by which entries are made and champions asked for, put back by a day: what was entered is of the future."""
    from flows import promotion_commands

    class Shifted(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(days=1)

    monkeypatch.setattr(ledger, "datetime", Shifted)
    monkeypatch.setattr(promotion_commands, "datetime", Shifted)


@odd
def test_a_clock_that_was_put_back_changes_no_order_and_no_champion(promoted, a_day_back, command):  # noqa: F811
    promote(read_base("model"), make_draft("1"))
    entries = read_ledger("model")
    assert [entry.champion_after for entry in entries] == ["1", "2", "1"]
    assert entries[2].time == entries[1].time  # never before the one before it
    assert json.loads(command("champion", "--json").stdout)["version"] == "1"
    assert "model version 1, since" in command("champion").stdout
    asked = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    assert json.loads(command("champion", "--at", asked, "--json").stdout)["version"] is None
    assert read_base("model").champion == "1"


@odd
def test_a_run_of_the_future_that_was_killed_is_ended(embedded_mlflow):
    run_id = connect().create_run("0", start_time=int((time.time() + 86400) * 1000)).info.run_id
    run_folder(run_id).mkdir(parents=True)
    assert len(end_abandoned_runs()) == 1
    assert connect().get_run(run_id).info.status == "FAILED"


@odd
def test_what_was_used_in_the_future_counts_as_used_now():
    with published(home() / "stages" / "padding" / "abc.1") as draft:
        (draft / "file").write_text("whole")
    os.utime(home() / "stages" / "padding" / "abc.1", (time.time() + 86400,) * 2)
    assert prune(timedelta(hours=1)) == ([], [])
    assert [one.path.name for one in prune(timedelta(0))[0]] == ["abc.1"]
    assert list_kept() == []


@pytest.fixture
def no_network():
    """What runs a command where there is loopback and nothing else."""
    up = "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh14s', b'lo', 0x41, b''))"
    before = ["unshare", "--net", "sh", "-c", f'{sys.executable} -c "{up}"; exec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*before, "true"], capture_output=True).returncode != 0:
        pytest.skip("no network namespace may be made here")
    return before


@odd
@pytest.mark.long
def test_without_a_network_the_generated_sample_is_trained_on_and_said_so(no_network, tmp_path):
    output, _ = run("train", "--set", "training.epochs=1", cwd=tmp_path, before=no_network, HOME=str(tmp_path))
    lines = output.strip().splitlines()
    assert lines[0] == lines[-1]
    assert "Data: the generated sample, since IMDB can neither be downloaded nor found in the cache" in lines[0]
    assert f"MLflow run {json.loads(run('models', '--json', cwd=tmp_path)[0])[0]['run_id']}" in output


@odd
@pytest.mark.long
def test_imdb_without_a_network_is_one_line_that_names_the_host(no_network, tmp_path):
    begun = time.monotonic()
    _, errors = run("train", "--config", "imdb", cwd=tmp_path, code=1, before=no_network, HOME=str(tmp_path))
    assert "storage.googleapis.com" in errors
    assert time.monotonic() - begun < 120
