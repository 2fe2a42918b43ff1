import shutil
from pathlib import Path

import pytest

from tasks.workspace import code_version, home, in_use, is_in_use, is_whole, published, remove_unused

TASKS = Path(__file__).parents[1] / "tasks"


def publish(folder, text="whole"):
    with published(folder) as draft:
        (draft / "below").mkdir()
        (draft / "below" / "file.txt").write_text(text)


def test_the_workspace_follows_its_variable_or_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRISE_HOME", str(tmp_path / "elsewhere"))
    assert home() == tmp_path / "elsewhere"
    monkeypatch.delenv("REPRISE_HOME")
    monkeypatch.chdir(tmp_path)
    assert home() == tmp_path / ".reprise"


def test_a_published_folder_is_whole_and_leaves_no_draft(tmp_path):
    publish(tmp_path / "stage")
    assert is_whole(tmp_path / "stage")
    assert [path.name for path in tmp_path.iterdir()] == ["stage"]


def test_an_error_leaves_nothing(tmp_path):
    def fail():
        with published(tmp_path / "stage") as draft:
            (draft / "half.txt").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["changed", "shorter", "removed", "no manifest", "broken manifest", "no folder"])
def test_damage_is_noticed_and_mended_by_publishing_again(tmp_path, damage):
    folder = tmp_path / "stage"
    publish(folder)
    file = folder / "below" / "file.txt"
    match damage:
        case "changed":
            file.write_text("whale")
        case "shorter":
            file.write_text("")
        case "removed":
            file.unlink()
        case "no manifest":
            (folder / "manifest.json").unlink()
        case "broken manifest":
            (folder / "manifest.json").write_text("{")
        case "no folder":
            folder.rename(tmp_path / "gone")
    assert not is_whole(folder)
    publish(folder)
    assert is_whole(folder)
    assert file.read_text() == "whole"


def test_a_whole_folder_is_kept_where_two_publish_the_same(tmp_path):
    publish(tmp_path / "stage", "first")
    publish(tmp_path / "stage", "other")
    assert (tmp_path / "stage" / "below" / "file.txt").read_text() == "first"


def test_a_folder_in_use_is_not_removed(tmp_path):
    folder = tmp_path / "stage"
    publish(folder)
    with in_use(folder), in_use(folder):
        assert is_in_use(folder)
        assert not remove_unused(folder)
    assert is_whole(folder)
    assert not is_in_use(folder)
    assert remove_unused(folder)
    assert list(tmp_path.iterdir()) == []
    assert remove_unused(folder)


def test_a_draft_in_use_stays_in_use_once_it_is_published(tmp_path):
    with published(tmp_path / "stage") as draft:
        held = in_use(draft)
        held.__enter__()
    assert not remove_unused(tmp_path / "stage")
    held.__exit__(None, None, None)
    assert remove_unused(tmp_path / "stage")


def test_a_folder_that_is_gone_or_replaced_while_it_is_being_locked_is_not_in_use(tmp_path, monkeypatch):
    folder = tmp_path / "stage"
    with pytest.raises(FileNotFoundError), in_use(folder):
        pass
    folder.mkdir()

    def lock_too_late(*_):
        folder.rename(tmp_path / "old")
        folder.mkdir()

    monkeypatch.setattr("tasks.workspace.fcntl.flock", lock_too_late)
    with pytest.raises(FileNotFoundError, match="replaced"), in_use(folder):
        pass


@pytest.fixture
def room(tmp_path):
    """A copy of a room's code, in a folder of another name."""
    room = tmp_path / "copy"
    shutil.copytree(TASKS / "padding", room, ignore=shutil.ignore_patterns("__pycache__"))
    return room


def test_a_code_version_is_that_of_the_code_wherever_it_lies(room):
    assert code_version(room) == code_version(TASKS / "padding")


@pytest.mark.parametrize("file", sorted(file.name for file in (TASKS / "padding").glob("*.py")))
def test_a_code_version_follows_every_byte_of_every_file(room, file):
    before = code_version(room)
    (room / file).write_bytes((room / file).read_bytes() + b"#")
    assert code_version(room) != before


def test_a_code_version_follows_where_a_file_stands(room):
    before = code_version(room)
    (room / "below").mkdir()
    (room / "arrays.py").rename(room / "below" / "arrays.py")
    assert code_version(room) != before


def test_a_code_version_follows_no_other_file(room):
    before = code_version(room)
    (room / "notes.txt").write_text("x")
    (room.parent / "beside.py").write_text("x = 1")
    assert code_version(room) == before
