"""Stages with a real Prefect API: what is run again and what is not."""

import ast
import hashlib
import importlib.util
import logging
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from tasks.results import prune
from tasks.stage import recorded_stages
from tasks.workspace import home, in_use

TASKS = Path(__file__).parents[1] / "tasks"
ROOM = """
import time
from pathlib import Path

from tasks.handles import StageOutput
from tasks.stage import cached_stage

calls = []
seconds = 0


@cached_stage({name!r}, identity=lambda source, **_: Path(source).read_text())
def build(folder: Path, source: str, size: int) -> StageOutput:
    calls.append(folder)
    time.sleep(seconds)
    (folder / "file.txt").write_text(Path(source).read_text() * size)
    return StageOutput(path=str(folder), sha256=str(size))


@cached_stage({name!r} + " check")
def check(folder: Path, built: StageOutput) -> StageOutput:
    calls.append(folder)
    (folder / "verdict.txt").write_text(built.sha256)
    return StageOutput(path=str(folder), sha256="0")
"""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.txt"
    path.write_text("words ")
    return path


@pytest.fixture
def write_room(tmp_path):
    def write_room(name):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "task.py").write_text(ROOM.format(name=name))
        (folder / "other.py").write_text("x = 1")
        return folder

    return write_room


def load(room):
    """The room's code as a new process would have it."""
    specification = importlib.util.spec_from_file_location(f"{room.name}_task", room / "task.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def room(prefect_api, write_room):
    return load(write_room("room"))


@pytest.fixture
def build(room, source):
    """Run the room's first stage; tell its result, and whether it was reused."""

    def build(size=1, module=room, force=False):
        before = len(module.calls)
        with recorded_stages(force=force) as records:
            result = module.build(str(source), size)
        (record,) = records
        assert record.reused is (len(module.calls) == before)
        return result, record.reused

    return build


def test_a_result_is_reused_and_its_files_are_those_of_the_first_run(build):
    first, reused = build()
    assert not reused
    assert first.file("file.txt").read_text() == "words "
    written = first.file("file.txt").stat().st_mtime_ns
    assert build() == (first, True)
    assert first.file("file.txt").stat().st_mtime_ns == written


def test_another_argument_or_another_content_at_the_same_path_is_another_result(build, source):
    first, _ = build()
    assert build(size=2)[1] is False
    source.write_text("other ")
    other, reused = build()
    assert not reused
    assert other.file("file.txt").read_text() == "other "
    source.write_text("words ")
    assert build() == (first, True)


def test_results_kept_elsewhere_leave_those_of_the_workspace_alone(build, room, source, tmp_path):
    first, _ = build()
    for reused in (False, True):
        with recorded_stages(results=tmp_path / "elsewhere") as records:
            other = room.build(str(source), 1)
        assert [record.reused for record in records] == [reused]
        assert other.file("file.txt").is_relative_to(tmp_path / "elsewhere")
    assert build() == (first, True)


def kept(stage):
    return [path for path in (home() / "stages" / stage).iterdir() if path.is_dir()]


def flip_a_byte(result):
    path = result.file("file.txt")
    before = path.stat()
    path.write_bytes(b"W" + path.read_bytes()[1:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(flip_a_byte, id="a byte changed, size and time kept"),
        pytest.param(lambda result: result.file("file.txt").write_text(""), id="a file cut"),
        pytest.param(lambda result: result.file("file.txt").unlink(), id="a file gone"),
        pytest.param(lambda result: result.file("handle.json").unlink(), id="the handle gone"),
        pytest.param(lambda result: result.file("manifest.json").write_text("{"), id="the manifest broken"),
        pytest.param(lambda result: shutil.rmtree(result.path), id="the folder gone"),
        pytest.param(lambda result: shutil.rmtree(home() / "stages"), id="all folders gone"),
    ],
)
def test_damage_is_noticed_and_mended(build, damage):
    first, _ = build()
    damage(first)
    second, reused = build()
    assert not reused
    assert second.file("file.txt").read_text() == "words "
    assert kept("room") == [Path(second.path)]
    assert build() == (second, True)


def test_force_runs_again_and_the_new_result_is_the_one_that_counts(build):
    first, _ = build()
    forced, reused = build(force=True)
    assert not reused
    assert forced.path != first.path
    assert build() == (forced, True)
    assert not Path(first.path).exists()


def test_force_leaves_a_result_that_is_being_read(build):
    first, _ = build()
    with in_use(Path(first.path)):
        build(force=True)
        assert first.file("file.txt").read_text() == "words "


def test_two_runs_at_once_build_one_result_and_the_second_says_that_it_waits(room, source, caplog):
    room.seconds = 2
    with ThreadPoolExecutor(2) as pool, caplog.at_level(logging.INFO, logger="reprise.results"):
        first, second = pool.map(lambda _: room.build(str(source), 1), range(2))
    assert first == second
    assert len(room.calls) == 1
    assert "room: waiting for another run that is at it" in caplog.messages


def test_a_run_holds_what_its_stages_returned(room, source):
    with recorded_stages():
        built = room.build(str(source), 1)
        os.utime(built.path, (0, 0))
        assert [one.path for one in prune_old()[1]] == [Path(built.path)]
        assert built.file("file.txt").exists()
    assert [one.path for one in prune_old()[0]] == [Path(built.path)]


def prune_old():
    return prune(timedelta(days=1))


def test_what_was_pruned_is_built_again(build):
    first, _ = build()
    os.utime(first.path, (0, 0))
    assert len(prune_old()[0]) == 1
    second, reused = build()
    assert not reused
    assert second.file("file.txt").read_text() == "words "


def test_a_reused_result_is_no_longer_old(build):
    first, _ = build()
    os.utime(first.path, (0, 0))
    build()
    assert prune_old() == ([], [])


def test_a_failed_stage_leaves_nothing(room, tmp_path):
    missing = tmp_path / "source.txt"
    missing.write_text("words ")
    with pytest.raises(TypeError), recorded_stages():
        room.build(str(missing), "many")
    assert kept("room") == []


@pytest.mark.fault("kill -9 while a checkpoint, a stage folder or a download is being written")
@pytest.mark.parametrize("written", [0.0, 0.5])
def test_a_record_that_prefect_had_half_written_is_not_read(build, written):
    """Prefect writes the record of a result in place, once its folder stands."""
    from prefect.settings import get_current_settings

    first, _ = build()
    (record,) = get_current_settings().results.local_storage_path.glob(
        f"room-{hashlib.sha256(first.path.encode()).hexdigest()[:32]}"
    )
    whole = record.read_bytes()
    record.write_bytes(whole[: int(len(whole) * written)])
    assert build() == (first, True)
    assert build() == (first, True)
    assert record.read_bytes().startswith(whole[:20])


def test_a_moved_workspace_keeps_its_results(build, tmp_path, monkeypatch):
    first, _ = build()
    home().rename(tmp_path / "elsewhere")
    monkeypatch.setenv("REPRISE_HOME", str(tmp_path / "elsewhere"))
    second, reused = build()
    assert reused
    assert second.path.startswith(str(tmp_path / "elsewhere"))
    assert second.sha256 == first.sha256


@pytest.mark.parametrize("file", ["task.py", "other.py"])
def test_editing_a_room_runs_its_stages_again_and_those_of_no_other(prefect_api, write_room, build, source, file):
    edited, untouched = write_room("edited"), write_room("untouched")
    for folder in (edited, untouched):
        assert build(module=load(folder))[1] is False
        assert build(module=load(folder))[1] is True
    (edited / file).write_text((edited / file).read_text() + "#")
    assert build(module=load(edited))[1] is False
    assert build(module=load(untouched))[1] is True


@pytest.mark.parametrize(
    ("room", "uses"),
    [
        ("ingestion", {"tasks.served_model"}),
        ("validation", {"tasks.text_digests"}),
        ("padding", {"tasks.served_model", "tasks.ngram_model"}),
        ("evaluation", {"tasks.served_model", "tasks.text_digests", "tasks.ngram_model", "tasks.padding.vocabulary"}),
    ],
)
def test_a_cached_room_imports_no_code_that_its_key_leaves_out(room, uses):
    """What is left out on purpose has no say in a result: errors, room on disk, progress, and the machinery of stages."""
    left_out = {"tasks.disk_space", "tasks.errors", "tasks.progress", "tasks.stage", "tasks.workspace"}
    trees = [ast.parse(file.read_text()) for file in (TASKS / room).rglob("*.py")]
    imported = {node.module for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {name for name in imported if name.split(".")[0] in ("tasks", "flows") and not name.startswith(f"tasks.{room}.")}
    assert ours - left_out == {"tasks.handles", "tasks.parquet_batches", *uses}


def test_prefect_shows_cached_what_is_reused_and_completed_what_is_forced(room, source):
    from prefect import flow
    from prefect.runtime import flow_run

    @flow
    def two_stages(force):
        with recorded_stages(force=force):
            room.check(room.build(str(source), 1))
        return flow_run.id

    assert states(two_stages(False)) == {"room": "Completed", "room check": "Completed"}
    assert states(two_stages(False)) == {"room": "Cached", "room check": "Cached"}
    assert states(two_stages(True)) == {"room": "Completed", "room check": "Completed"}
    assert states(two_stages(False)) == {"room": "Cached", "room check": "Cached"}


def states(flow_run_id):
    """The last states of a flow's two tasks, as the Prefect API has them once it has caught up."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    with get_client(sync_client=True) as client:
        for _ in range(100):
            tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])))
            if len(tasks) == 2 and all(task.state and task.state.is_final() for task in tasks):
                return {task.name: task.state.name for task in tasks}
            time.sleep(0.2)
    return pytest.fail("the Prefect API never showed two ended tasks")
