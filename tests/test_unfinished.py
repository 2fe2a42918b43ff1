from datetime import UTC, datetime, timedelta

import pytest

from configs.loading import check_config, override, read_config
from tasks.errors import ConfigError, GateClosed, InputError, RegistryError, TrainingDiverged
from tasks.ingestion.source import source_digest
from tasks.results import UNFINISHED
from tasks.tracking import run_folder
from tasks.unfinished import (
    Mark,
    find_difference,
    list_unfinished,
    marked_unfinished,
    matching_unfinished,
    present_circumstances,
    require_unfinished,
)
from tasks.workspace import in_use

NOW = datetime.now(UTC)


def configure(*assignments):
    return check_config(override(read_config("sample"), assignments), "sample")


@pytest.fixture
def cut_off():
    """Leave the mark of a training that was cut off so many minutes ago."""

    def cut_off(run_id, *assignments, minutes=0, circumstances=None, **changes):
        config = configure(*assignments)
        changes = {"circumstances": circumstances or present_circumstances(), **changes}
        mark = Mark(config=config, began=NOW - timedelta(minutes=minutes), **changes)
        run_folder(run_id).mkdir(parents=True)
        (run_folder(run_id) / UNFINISHED).write_text(mark.model_dump_json())
        return mark

    return cut_off


def found(config):
    return [one.run_id for one in matching_unfinished(config, present_circumstances())]


def test_the_newest_of_the_same_configuration_is_found_and_one_that_runs_is_not(cut_off):
    cut_off("old", minutes=2)
    cut_off("new", minutes=1)
    cut_off("other", "training.epochs=9")
    assert [one.run_id for one in list_unfinished()] == ["other", "new", "old"]
    assert found(configure()) == ["new", "old"]
    with in_use(run_folder("new")):
        assert found(configure()) == ["old"]


def test_other_circumstances_or_other_data_are_another_training(cut_off):
    mark = cut_off("a", source_sha256=source_digest(configure().data))
    present = present_circumstances()
    assert find_difference(mark, present) is None
    other = {**present, "package.keras": "2.0"}
    assert find_difference(mark, other) == f"package.keras {present['package.keras']} -> 2.0"
    read = mark.model_copy(update={"source_sha256": "0" * 64})
    assert find_difference(read, present).startswith("the data's sha256 0000")
    # A commit or a change that leaves the code as it is changes no weight.
    assert not {"git.dirty", "mlflow.source.git.commit"} & set(present)


def test_resume_takes_the_newest_or_the_one_that_is_named_and_tells_what_is_in_the_way(cut_off):
    with pytest.raises(InputError, match="no training was cut off in"):
        require_unfinished(None)
    cut_off("a", minutes=1)
    cut_off("b", "training.epochs=9")
    assert require_unfinished(None) == configure("training.epochs=9")
    assert require_unfinished(configure()) == configure()
    with pytest.raises(InputError, match="no training with this configuration was cut off"):
        require_unfinished(configure("training.epochs=7"))
    cut_off("c", "training.epochs=3", minutes=-1, circumstances={**present_circumstances(), "python": "3.10.1"})
    with pytest.raises(InputError, match=r"run c of sample-lstm cannot go on as it began: python 3\.10\.1 -> 3\.11"):
        require_unfinished(None)


@pytest.mark.parametrize(
    ("error", "stays"),
    [
        (KeyboardInterrupt(), True),
        (RegistryError("away"), True),
        (MemoryError(), True),
        (ConfigError("wrong"), False),
        (TrainingDiverged("nan"), False),
        (GateClosed("gone"), False),
    ],
)
def test_what_would_repeat_is_not_gone_on_with_and_all_else_says_how(error, stays, cut_off):
    mark = cut_off("a")
    folder = run_folder("a")
    with in_use(folder), pytest.raises(type(error)) as told, marked_unfinished(mark, folder):
        raise error
    assert (folder / UNFINISHED).is_file() is stays
    way_on = "`reprise train --resume` goes on with run a, from its first epoch on"
    notes = getattr(told.value, "__notes__", [])
    assert (str(told.value).endswith(f"{error}; {way_on}") or notes == [way_on]) is stays


def test_a_training_that_ended_well_leaves_no_mark_and_ends_older_ones_of_its_kind(cut_off):
    cut_off("old", minutes=5)
    cut_off("other", "training.epochs=9")
    mark = cut_off("a")
    (run_folder("a") / "checkpoint" / "1").mkdir(parents=True)
    with in_use(run_folder("a")), marked_unfinished(mark, run_folder("a")):
        assert [one.run_id for one in list_unfinished()] == ["other", "old"]
    assert list(run_folder("a").iterdir()) == []
    assert [one.run_id for one in list_unfinished()] == ["other"]


@pytest.mark.parametrize("text", ["", "{", '{"config": 3}', "\x00"])
def test_a_mark_that_cannot_be_read_is_passed_over_in_one_line(text, caplog):
    run_folder("a").mkdir(parents=True)
    (run_folder("a") / UNFINISHED).write_text(text)
    assert list_unfinished() == []
    assert len(caplog.messages) == 1
