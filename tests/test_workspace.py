import pytest

from tasks.workspace import code_version, home, is_whole, published


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


def test_a_code_version_follows_every_python_file(tmp_path):
    for name in ("one", "two"):
        room = tmp_path / name
        room.mkdir()
        (room / "task.py").write_text("x = 1")
    same = code_version(tmp_path / "one") == code_version(tmp_path / "two")
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "task.py").write_text("x = 2")
    assert same
    assert code_version(tmp_path / "one") != code_version(tmp_path / "three")
