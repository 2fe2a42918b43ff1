import shutil

import numpy as np
import pytest

from tasks.training.checkpoints import Checkpoint, Checkpoints, Progress, newest_epoch


def after(epoch, *, best_weights=(), belongs_to="this"):
    history = {"loss": tuple(0.1 * number for number in range(1, epoch + 1))}
    progress = Progress(
        belongs_to=belongs_to, epoch=epoch, history=history, best=0.1, best_epoch=0, wait=epoch - 1, stopped=False
    )
    network = [np.full((2, 3), epoch, np.float32), *(np.array(number, np.int64) for number in range(11))]
    return Checkpoint(progress, network, [np.array(epoch)], list(best_weights))


@pytest.fixture
def written(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoint", "this")
    for epoch in (1, 2, 3):
        checkpoints.write(after(epoch))
    return checkpoints


def test_the_last_two_are_kept_and_the_last_is_read_as_it_was_written(written):
    assert sorted(folder.name for folder in written.folder.iterdir()) == ["2", "3"]
    found, expected = written.newest(), after(3)
    assert found.progress == expected.progress
    for one, other in zip(found.network + found.optimizer, expected.network + expected.optimizer, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert found.best_weights == []
    assert newest_epoch(written.folder) == 3


@pytest.mark.fault("checkpoint torn or damaged")
@pytest.mark.parametrize("damage", ["a byte", "cut short", "no manifest", "no arrays", "empty"])
def test_a_damaged_one_is_passed_over_and_written_again(written, damage, caplog):
    last = written.folder / "3"
    arrays = last / "arrays.npz"
    content = arrays.read_bytes()
    match damage:
        case "a byte":
            arrays.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
        case "cut short":
            arrays.write_bytes(content[:-1])
        case "no manifest":
            (last / "manifest.json").unlink()
        case "no arrays":
            arrays.unlink()
        case "empty":
            shutil.rmtree(last)
            last.mkdir()
    assert written.newest().progress.epoch == newest_epoch(written.folder) == 2
    assert caplog.messages == ["the checkpoint of epoch 3 is damaged: an earlier one is used"]
    written.write(after(3))
    assert written.newest().progress.epoch == 3


@pytest.mark.fault("checkpoint torn or damaged")
def test_what_a_killed_process_left_half_written_is_no_checkpoint_and_goes(written):
    (written.folder / ".4.abc").mkdir()
    assert written.newest().progress.epoch == 3
    written.write(after(4))
    assert sorted(folder.name for folder in written.folder.iterdir()) == ["3", "4"]


def test_another_trainings_checkpoint_is_never_read_and_makes_way(written):
    other = Checkpoints(written.folder, "another")
    assert other.newest() is None
    other.write(after(1, belongs_to="another"))
    assert [folder.name for folder in written.folder.iterdir()] == ["1"]
    assert other.newest().progress.epoch == 1


@pytest.mark.fault("pickle where arrays should be")
def test_arrays_that_would_run_code_are_not_unpickled(written, tmp_path):
    class Gadget:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    arrays = written.folder / "3" / "arrays.npz"
    np.savez(arrays, **{"network.0": np.array([Gadget()], dtype=object)})
    from tasks.workspace import MANIFEST, describe_files

    (written.folder / "3" / MANIFEST).unlink()
    import json

    (written.folder / "3" / MANIFEST).write_text(json.dumps(describe_files(written.folder / "3")))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        written.newest()
    assert not (tmp_path / "ran").exists()


def test_without_a_folder_there_is_none(tmp_path):
    assert Checkpoints(tmp_path / "none", "this").newest() is None
    assert newest_epoch(tmp_path / "none") == 0
