"""A champion of which something was deleted by hand, with MLflow's own commands: noticed, the gate closed, and a way back.

One champion, one that was champion before it, and one that waits, all registered by real runs; whatever is done to them is
undone after each test.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow.cli import cli as mlflow_commands

from tasks.errors import GateClosed, ModelMismatch, RegistryError, RepriseError
from tasks.mlflow_store import connect
from tasks.registration.by_hand import begin_override, begin_rollback, put_in_place, rollback_target
from tasks.registration.deciding import decide_on
from tasks.registration.ledger import read_ledger
from tasks.registration.pages import publish_pages
from tasks.registration.verification import find_champion_trouble, verify_model
from tasks.registration.versions import find_version, list_versions, read_aliases
from tests.flows.conftest import command  # noqa: F401 (a fixture)
from tests.flows.story import Story
from tests.registration.small_model import register_small_version, save_small_model

NAME = "slice-lstm"
deleted = pytest.mark.fault("champion's parts deleted by hand, mlflow gc")
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def story(prefect_api, migrated_store, configure, tmp_path_factory):
    from flows.training import training

    story = Story(tmp_path_factory.mktemp("story"), migrated_store)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(story.folder)
        patch.setenv("REPRISE_HOME", str(story.home))
        patch.setenv("MLFLOW_TRACKING_URI", "")
        story.config = configure("training.epochs=1", "registration.gate.required_gain=0.9")
        story.first = training(story.config)
        training(configure("training.epochs=1", "registration.gate.required_gain=0.9", "training.seed=1"))
        put_in_place(NAME, "2", begin_override(NAME, "2", "To have two."), "override", "To have two.")
        publish_pages(NAME, "2", before="1")
        small = save_small_model(tmp_path_factory.mktemp("small-model"))
        register_small_version(*small, name=NAME, gate_rows=story.first.gate_rows)
        story.keep("whole")
    return story


@pytest.fixture(autouse=True)
def whole(story, monkeypatch):
    monkeypatch.chdir(story.folder)
    monkeypatch.setenv("REPRISE_HOME", str(story.home))
    story.go_back("whole")


@pytest.fixture
def decide(story):
    """Ask the gate about a version."""

    def decide(version="3"):
        first = story.first
        return decide_on(NAME, version, reviews=first.reviews, gate_rows=first.gate_rows, config=story.config, actor="test")

    return decide


def use_mlflow(text):
    """Run one of MLflow's own commands, as a message names it, in this process."""
    setting, program, *arguments = shlex.split(text)
    assert (setting, program) == (f"MLFLOW_TRACKING_URI=sqlite:///{Path.cwd()}/mlruns/mlflow.db", "mlflow")
    done = CliRunner().invoke(mlflow_commands, arguments)
    assert done.exit_code == 0, done.output


def collect_garbage():
    uri = f"sqlite:///{Path.cwd()}/mlruns/mlflow.db"
    use_mlflow(f"MLFLOW_TRACKING_URI={uri} mlflow gc --backend-store-uri {uri}")


def champions_run():
    return connect().get_run(find_version(NAME, "2").summary.run_id)


def ledgers_run():
    return connect().get_registered_model(NAME).tags["ledger.run_id"]


def model_files():
    return Path(connect().get_model_version_download_uri(NAME, "2").removeprefix("file://"))


def delete_run():
    connect().delete_run(champions_run().info.run_id)


def collect_run():
    delete_run()
    collect_garbage()


def delete_logged_model():
    connect().delete_logged_model(find_version(NAME, "2").source.removeprefix("models:/"))


def collect_logged_model():
    delete_logged_model()
    collect_garbage()


def delete_experiment():
    connect().delete_experiment(champions_run().info.experiment_id)


def the_command_in(text):
    """The command of MLflow's that a message tells to use."""
    return re.search(r"`([^`]*mlflow (?:runs|experiments) [^`]*)`", text)[1]


DAMAGES = {
    "version": (lambda: connect().delete_model_version(NAME, "2"), "version 2 of 'slice-lstm', the champion, is gone"),
    "alias": (lambda: connect().delete_registered_model_alias(NAME, "champion"), "alias champion of 'slice-lstm' was removed"),
    "run": (delete_run, r"version 2 of slice-lstm: the run \w{32} that made it is deleted: bring it back with `"),
    "run, collected": (collect_run, r"version 2 of slice-lstm: the run \w{32} that made it is gone for good"),
    "logged model": (delete_logged_model, r"version 2 of slice-lstm: its logged model models:/m-\w+ is deleted"),
    "logged model, collected": (collect_logged_model, r"version 2 of slice-lstm: its logged model models:/m-\w+ is deleted"),
    "model's folder": (
        lambda: shutil.rmtree(model_files()),
        r"the files of models:/slice-lstm/2 are gone from file:///.*/mlruns",
    ),
    "a file": (lambda: (model_files() / "artifacts" / "vocabulary.json").unlink(), r"'artifacts/vocabulary\.json' is missing"),
    "run's folder": (
        lambda: shutil.rmtree(champions_run().info.artifact_uri.removeprefix("file://")),
        r"version 2 of slice-lstm: data/training\.parquet of run \w{32}, what it was trained on, is gone from file:///",
    ),
}


@deleted
@pytest.mark.parametrize("part", DAMAGES)
def test_it_is_noticed_the_gate_is_closed_and_a_rollback_opens_it(part, decide, command):  # noqa: F811
    assert find_champion_trouble(NAME) is None
    damage, told = DAMAGES[part]
    damage()

    assert re.search(f"warning: .*{told}", command("models").stderr)
    assert re.search(told, find_champion_trouble(NAME))
    with pytest.raises(RepriseError, match="checks of slice-lstm failed"):
        command("verify")
    assert command("history").stdout
    with pytest.raises((GateClosed, ModelMismatch), match=told) as closed:
        decide()
    assert "\n" not in str(closed.value)
    refused = read_ledger(NAME)[-1]
    assert (refused.outcome, refused.version, refused.champion_after) == ("refused", "3", "2")
    if part in ("version", "alias"):
        for asking in (("show",), ("predict", "A film.")):
            with pytest.raises(
                GateClosed, match="by its ledger version 2, is gone from MLflow, or its alias is: `reprise verify"
            ):
                command(*asking)
    else:
        assert "slice-lstm version 2" in command("show").stdout

    entry = put_in_place(NAME, "1", begin_rollback(NAME, rollback_target(NAME), "It is gone."), "rollback", "It is gone.")
    publish_pages(NAME, "1", before=entry.champion_before)
    assert read_aliases(NAME)["champion"] == "1"
    assert find_champion_trouble(NAME) is None
    assert decide().outcome in ("keep", "undecided")
    assert "It is gone." in find_version(NAME, "1").description


@deleted
def test_what_is_only_deleted_comes_back_with_the_command_that_the_message_names(decide, command):  # noqa: F811
    delete_run()
    told = find_champion_trouble(NAME)
    restore = the_command_in(told).replace("mlflow runs", f"{sys.executable} -m mlflow runs")
    subprocess.run(restore, shell=True, check=True, capture_output=True)  # noqa: S602 (as a user would paste it)
    assert find_champion_trouble(NAME) is None

    delete_experiment()
    told = find_champion_trouble(NAME)
    assert "the experiment 'slice' of the run" in told
    with pytest.raises(ModelMismatch, match=r"the experiment 'slice' of the run .* is deleted"):
        decide()
    use_mlflow(the_command_in(told))
    assert {one.trouble for one in verify_model(NAME) if one.subject != "version 3"} == {None}
    assert decide().outcome in ("keep", "undecided")
    assert "Lost" not in command("show").stdout


@deleted
def test_a_training_in_an_experiment_that_was_deleted_says_so_and_leaves_nothing(story):
    from flows.training import training

    delete_experiment()
    versions = list_versions()
    with pytest.raises(RegistryError, match=r"the experiment 'slice' is deleted: bring it back with `.*experiments restore"):
        training(story.config)
    assert list_versions() == versions


@deleted
def test_a_rollback_to_a_version_whose_run_is_gone_serves_and_says_what_is_lost(decide, command):  # noqa: F811
    """All runs were in the experiment that was collected."""
    delete_experiment()
    collect_garbage()
    record = json.loads(command("rollback", "--reason", "It was bad.", "--json").stdout)
    assert (record["version"], read_aliases(NAME)["champion"]) == ("1", "1")
    for page in (find_version(NAME, "1").description, command("show").stdout):
        assert re.search(r"\*\*Lost\.\*\* version 1 of slice-lstm: the run \w{32} that made it is gone for good", page)
    assert "is lost" in connect().get_registered_model(NAME).description
    assert "positive" in command("predict", "A film.").stdout or "negative" in command("predict", "A film.").stdout
    with pytest.raises(ModelMismatch, match=r"version \d of slice-lstm: the run \w{32} that made it is gone for good"):
        decide()


@deleted
@pytest.mark.parametrize("what", ["run", "experiment"])
def test_a_ledger_that_is_only_deleted_is_brought_back(what, decide, command):  # noqa: F811
    before = read_ledger(NAME)
    if what == "run":
        connect().delete_run(ledgers_run())
    else:
        connect().delete_experiment(connect().get_experiment_by_name("promotions").experiment_id)
    told = command("models").stderr
    assert "warning: the promotion ledger of 'slice-lstm'" in told
    for refused in (("history",), ("predict", "A film."), ("rollback", "--reason", "It is bad.")):
        with pytest.raises(GateClosed, match=r"the promotion ledger of 'slice-lstm', run .*, is deleted"):
            command(*refused)
    with pytest.raises(GateClosed):
        decide()
    use_mlflow(the_command_in(told))
    assert read_ledger(NAME) == before
    assert decide().outcome in ("keep", "undecided")


@deleted
def test_a_ledger_that_is_gone_for_good_closes_the_gate_until_a_person_begins_a_new_one(decide, command):  # noqa: F811
    connect().delete_run(ledgers_run())
    collect_garbage()
    with pytest.raises(GateClosed, match=r"is gone for good: .* to begin a new history, delete the tag ledger\.run_id"):
        decide()
    connect().delete_registered_model_tag(NAME, "ledger.run_id")
    assert "the alias champion of 'slice-lstm' is at version 2, which no entry of its ledger made champion" in (
        command("models").stderr
    )
    with pytest.raises(GateClosed, match="no entry of its ledger"):
        decide()
    put_in_place(NAME, "2", begin_override(NAME, "2", "The ledger is lost."), "override", "The ledger is lost.")
    # Before it, the refusal.
    assert [(entry.action, entry.version) for entry in read_ledger(NAME)] == [("gate", "3"), ("override", "2")]
    assert decide().outcome in ("keep", "undecided")


@deleted
def test_a_registered_model_that_was_deleted_begins_anew_only_when_told_so(story, command):  # noqa: F811
    from flows.training import training

    connect().delete_registered_model(NAME)
    told = command("models").stderr
    assert "the registered model 'slice-lstm' is gone, and its promotion ledger" in told
    with pytest.raises(GateClosed, match="the registered model 'slice-lstm' is gone"):
        training(story.config)
    assert list_versions() == []
    use_mlflow(the_command_in(told))
    result = training(story.config)
    assert (result.version.version, result.decision.champion) == ("1", "1")
    assert find_champion_trouble(NAME) is None


@deleted
def test_a_database_that_is_gone_does_not_begin_anew_beside_its_models(story, monkeypatch, tmp_path):
    """In a copy: MLflow keeps a database open that it once was asked for."""
    shutil.copytree(story.folder / "mlruns" / "artifacts", tmp_path / "mlruns" / "artifacts")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    with pytest.raises(RegistryError, match=r"mlflow\.db is gone, and with it the record of the models .* restore it"):
        connect()
    assert not (tmp_path / "mlruns" / "mlflow.db").exists()
    (tmp_path / "mlruns" / "artifacts").rename(tmp_path / "away")
    assert read_aliases(NAME) == {}


@deleted
def test_a_store_that_was_moved_says_where_its_files_are_looked_for(story, monkeypatch, tmp_path, command):  # noqa: F811
    from flows.training import training

    old, new = story.folder / "mlruns", tmp_path / "mlruns"
    old.rename(new)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    try:
        assert f"is gone from file://{old}" in command("models").stderr
        with pytest.raises(RegistryError, match=f"moved or copied from {old} to {new}.*: move it back, or make {old} a link"):
            training(story.config)
        assert not old.exists()
        old.symlink_to(new)
        assert find_champion_trouble(NAME) is None
    finally:
        old.unlink(missing_ok=True)
        new.rename(old)
