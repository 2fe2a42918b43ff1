"""Which run a training is recorded in, when it was cut off before: a real store, and no training."""

import mlflow
import pytest

from configs.loading import check_config, override, read_config
from tasks.errors import InputError
from tasks.journal import JOURNAL
from tasks.mlflow_store import connect
from tasks.resumption import resumable_run
from tasks.tracking import run_folder
from tasks.unfinished import require_unfinished


@pytest.fixture
def config():
    return check_config(override(read_config("sample"), ["tracking.system_metrics=false"]), "sample")


@pytest.fixture
def cut_off(embedded_mlflow, config):
    """Begin a run, have an interrupt cut it off, and return its id."""
    with pytest.raises(KeyboardInterrupt), resumable_run(config, name="first", tags={"prefect.flow_run_id": "f1"}) as run:
        raise KeyboardInterrupt
    return run.run_id


def start(config, **options):
    with resumable_run(config, name="again", tags={"prefect.flow_run_id": "f2"}, **options) as run:
        assert mlflow.get_run(run.run_id).info.status == "RUNNING"
    return run


@pytest.mark.parametrize("resume", [True, False])
def test_the_run_goes_on_under_its_name_and_ends_as_if_nothing_had_been(cut_off, config, resume):
    assert mlflow.get_run(cut_off).info.status == "KILLED"
    run = start(config, resume=resume)
    assert (run.run_id, run.name, run.resumed) == (cut_off, "first", True)
    ended = mlflow.get_run(cut_off)
    assert ended.info.status == "FINISHED"
    tags = ended.data.tags
    assert "error" not in tags
    assert (tags["prefect.flow_run_id"], tags["prefect.earlier_flow_run_ids"]) == ("f2", "f1")
    assert tags["resumed"] == "1 x, the last time from its first epoch on"
    # It is over now: the next is another run.
    assert start(config).run_id != cut_off
    with pytest.raises(InputError, match="there is nothing to go on with: it ended"):
        start(config, resume=True)


def test_cut_off_twice_it_counts_and_keeps_all_flow_runs(cut_off, config):
    with pytest.raises(MemoryError) as told, resumable_run(config, name="again", tags={"prefect.flow_run_id": "f2"}):
        raise MemoryError
    assert told.value.__notes__ == [f"`reprise train --resume` goes on with run {cut_off}, from its first epoch on"]
    with resumable_run(config, name="again", tags={"prefect.flow_run_id": "f3"}) as run:
        tags = mlflow.get_run(run.run_id).data.tags
    assert (tags["resumed"][:3], tags["prefect.earlier_flow_run_ids"]) == ("2 x", "f1 f2")


def test_force_and_another_configuration_begin_a_new_run(cut_off, config):
    other = check_config(override(config.model_dump(), ["training.seed=5"]), "other")
    assert start(other).run_id != cut_off
    assert start(config, force=True).run_id != cut_off


@pytest.mark.fault("run or version deleted by hand")
def test_a_run_deleted_by_hand_is_told_of_and_a_new_one_begun(cut_off, config, caplog):
    connect().delete_run(cut_off)
    told = f"a training of this configuration was cut off, but run {cut_off} is deleted in MLflow at sqlite:"
    run = start(config)
    assert run.run_id != cut_off
    assert [message[: len(told)] for message in caplog.messages if "cut off" in message] == [told]


def test_a_run_of_another_store_is_left_alone_and_goes_on_there(cut_off, config, tmp_path, monkeypatch, migrated_store, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    (tmp_path / "other.db").write_bytes(migrated_store.read_bytes())
    with pytest.raises(InputError, match=f"run {cut_off} is not known to MLflow at sqlite:"):
        start(config, resume=True)
    assert f"run {cut_off} is not known to MLflow" in caplog.text
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert start(config, resume=True).run_id == cut_off


def test_a_run_whose_journal_is_damaged_is_told_of_and_a_new_one_begun(cut_off, config, caplog):
    journal = run_folder(cut_off) / JOURNAL
    journal.write_bytes(b"{}\n" + journal.read_bytes())
    assert start(config).run_id != cut_off
    assert f"was cut off, but {journal} cannot be read: line 1: no entry" in caplog.text


def test_of_two_that_were_cut_off_the_one_that_was_started_last_goes_on(cut_off, config):
    other = check_config(override(config.model_dump(), ["training.seed=5"]), "other")
    with pytest.raises(KeyboardInterrupt), resumable_run(other, name="other", tags={}):
        raise KeyboardInterrupt
    assert require_unfinished(None) == other
    with pytest.raises(KeyboardInterrupt), resumable_run(config, name="again", tags={}):
        raise KeyboardInterrupt
    assert require_unfinished(None) == config


def test_a_run_that_had_finished_when_its_process_was_killed_is_over(cut_off, config):
    connect().set_terminated(cut_off, "FINISHED")
    with pytest.raises(InputError, match=f"run {cut_off} is finished in MLflow"):
        start(config, resume=True)
    assert not (run_folder(cut_off) / "unfinished.json").exists()
