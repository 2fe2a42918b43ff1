"""Promotion as a user meets it: three versions that real trainings registered, once, and all that may happen to them."""

import json
import re
from datetime import timedelta
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from configs.loading import check_config, override, read_config
from tasks.errors import GateClosed, InputError, ModelMismatch, RepriseError
from tasks.evaluation.gate_rows import find_sealed, write_gate_rows
from tasks.handles import Decision, GateRows, HighWaterMark, SeedNoise
from tasks.ingestion.sample import generate_sample
from tasks.mlflow_store import connect
from tasks.registration import deciding
from tasks.registration.by_hand import begin_override, begin_rollback, put_in_place, rollback_target
from tasks.registration.deciding import decide_on
from tasks.registration.ledger import read_ledger
from tasks.registration.manifest import hash_files, version_record
from tasks.registration.noise import read_noise, record_noise
from tasks.registration.pages import lay_out, publish_pages
from tasks.registration.scoring import score_texts
from tasks.registration.verification import find_champion_trouble, verify_model
from tasks.registration.versions import DECISION_TAG, find_version, list_versions, read_aliases
from tasks.text_digests import digest_texts
from tests.flows.story import Story

NAME = "films-lstm"
SHARED_TEXTS = 60
SMALL = (
    *("data.source=table", "data.split_column=split", "data.name=films", "tracking.system_metrics=false"),
    *("training.verbosity=0", "evaluation.bootstrap_samples=100", "registration.floors={accuracy: 0.2}"),
    *("registration.gate.max_calibration_error=1.0", "registration.gate.max_latency_ratio=100.0"),
)
GOOD = ("training.epochs=4", "training.learning_rate=0.01")
BAD = ("training.epochs=1", "training.learning_rate=1.0e-7")


def configure(path, *assignments):
    return check_config(override(read_config("sample"), [*SMALL, f"data.path={path}", *assignments]), "test")


def write_tables(folder):
    """Write `old.csv`, whose train split holds the first 60 test texts of `new.csv`, and return both paths."""
    corpus = generate_sample()
    texts = pa.concat_arrays(corpus.texts).to_pylist()
    reviews = pd.DataFrame({"text": texts, "label": corpus.labels, "split": corpus.splits})
    train, test = reviews[reviews["split"] == "train"], reviews[reviews["split"] == "test"]
    old = [train.tail(400), test.head(SHARED_TEXTS).assign(split="train"), test.tail(150)]
    pd.concat(old).to_csv(folder / "old.csv", index=False)
    pd.concat([train.head(1200), test.head(500)]).to_csv(folder / "new.csv", index=False)
    return folder / "old.csv", folder / "new.csv"


@pytest.fixture(scope="module")
def story(prefect_api, migrated_store, command, tmp_path_factory):
    """What happened: a bad version was first, the gate was closed to a good one, which was promoted later, a third was kept."""
    from flows.training import training

    story = Story(tmp_path_factory.mktemp("story"), migrated_store)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(story.folder)
        patch.setenv("REPRISE_HOME", str(story.home))
        patch.setenv("MLFLOW_TRACKING_URI", "")
        story.old, story.new = write_tables(story.folder)
        story.first = training(configure(story.old, *BAD))
        story.keep("first")

        connect().delete_registered_model_alias(NAME, "champion")
        with pytest.raises(GateClosed) as closed:
            training(configure(story.new, *GOOD))
        story.refusal = str(closed.value)
        story.keep("closed")

        connect().set_registered_model_alias(NAME, "champion", "1")
        story.keep("mended")
        story.promoted = json.loads(command("promote", "2", "--json").stdout)
        story.keep("second")

        story.third = training(configure(story.new, *BAD, "training.seed=1"))
        story.keep("third")
    return story


@pytest.fixture
def at(story, monkeypatch):
    """Go back to a moment of the story."""
    monkeypatch.chdir(story.folder)
    monkeypatch.setenv("REPRISE_HOME", str(story.home))
    return story.go_back


@pytest.fixture
def decide(story, at):
    """Ask the gate about a version as the training of the newer reviews does."""

    def decide(version, *assignments, gate_rows=story.third.gate_rows):
        config = configure(story.new, *assignments)
        return decide_on(NAME, version, reviews=story.third.reviews, gate_rows=gate_rows, config=config, actor="test")

    return decide


def override_gate(version, reason):
    return put_in_place(NAME, version, begin_override(NAME, version, reason), "override", reason)


def roll_back(version, reason):
    return put_in_place(NAME, version, begin_rollback(NAME, version, reason), "rollback", reason)


def state():
    """What no refused command may change."""
    return read_aliases(NAME), len(read_ledger(NAME))


def model_folder(version):
    """The folder in the store that holds a version's files."""
    return Path(connect().get_model_version_download_uri(NAME, version).removeprefix("file://"))


def tamper(version):
    with (model_folder(version) / "artifacts" / "vocabulary.json").open("a") as file:
        file.write(" ")


def tamper_with_record(version):
    """Change a file, and all tags as if it had been so from the start."""
    tamper(version)
    for key, value in version_record(hash_files(model_folder(version)), {}).items():
        connect().set_model_version_tag(NAME, version, key, value)


def test_a_first_version_is_champion_by_its_floors(story, at, command):
    at("first")
    decision = story.first.decision
    assert (decision.outcome, decision.champion, decision.replaced) == ("promote", "1", None)
    assert decision.comparison.champion is None
    assert decision.comparison.gate_sha256 == story.first.gate_rows.sha256
    assert [(entry.outcome, entry.champion_before, entry.champion_after) for entry in read_ledger(NAME)] == [
        ("promote", None, "1"),
        ("audited", "1", "1"),
    ]
    with pytest.raises(InputError, match="had no champion before this one: name a version that was champion with --to"):
        command("rollback", "--reason", "It is bad.")
    assert state() == ({"champion": "1"}, 2)


def test_a_closed_gate_fails_the_training_and_registers_its_version_all_the_same(story, at):
    at("closed")
    assert "the alias champion of 'films-lstm' was removed by hand; its ledger says version 1" in story.refusal
    run = mlflow.get_run(find_version(NAME, "2").summary.run_id)
    assert run.info.status == "FAILED"
    assert "GateClosed" in run.data.tags["error"]
    assert read_aliases(NAME) == {"challenger": "2"}
    last = read_ledger(NAME)[-1]
    assert (last.outcome, last.version, last.champion_after, last.reason) == ("refused", "2", "1", story.refusal)


def test_a_better_version_is_promoted_later_by_hand_and_all_records_agree(story, at, command):
    at("second")
    given = story.promoted
    assert (given["model"], given["version"], given["outcome"], given["champion"]) == (NAME, "2", "promote", "2")
    details = find_version(NAME, "champion")
    decision = Decision.model_validate_json(details.tags[DECISION_TAG])
    assert decision.model_dump(mode="json") == {key: given[key] for key in Decision.model_fields}
    entry, audit = read_ledger(NAME)[-2:]
    assert (entry.action, entry.outcome, entry.version, entry.champion_before) == ("gate", "promote", "2", "1")
    assert entry.figures["confidence"] == 0.95
    assert (entry.reason, entry.gate_sha256) == (decision.reason, story.third.gate_rows.sha256)
    assert "@" in entry.actor
    assert entry.digests["weights"] == details.tags["weights_sha256"]
    assert entry.figures["accuracy"] == pytest.approx(decision.comparison.accuracy.challenger, abs=1e-6)
    assert decision.audit.low < decision.audit.value < decision.audit.high
    assert (audit.action, audit.version, audit.champion_before, audit.champion_after) == ("audit", "2", "2", "2")
    assert audit.figures["accuracy_on_audit_rows"] == pytest.approx(decision.audit.value, abs=1e-6)
    assert read_aliases(NAME) == {"champion": "2"}

    assert details.description.startswith("Champion since")
    assert decision.reason in details.description
    assert "sealed audit rows, opened for the promotion" in details.description
    assert "Not the champion. The last word on this one" in find_version(NAME, "1").description
    assert "This page speaks of version 2." in connect().get_registered_model(NAME).description
    assert find_version(NAME, "1").description == lay_out(command("show", "1").stdout.removesuffix("\n"))


def test_rows_that_a_version_was_trained_on_count_for_neither(story, at):
    """The scores are those of the served models on the rows that are left, counted anew here."""
    at("second")
    test = pd.read_csv(story.new).query("split == 'test'")
    sealed = find_sealed(digest_texts(pa.array(test["text"])), 0.2)
    shared = np.arange(len(test)) < SHARED_TEXTS
    comparison = story.promoted["comparison"]
    assert comparison["overlap_rows"] == (shared & ~sealed).sum() > 0
    left = test[~shared & ~sealed]
    assert comparison["rows"] == comparison["accuracy"]["rows"] == len(left)
    for version, side in (("1", "champion"), ("2", "challenger")):
        found = mlflow.pyfunc.load_model(f"models:/{NAME}/{version}").predict(left["text"].tolist())
        right = np.mean([one.label for one in found] == left["label"].to_numpy())
        assert comparison["accuracy"][side] == comparison[side]["metrics"]["accuracy"] == pytest.approx(right)


def test_a_worse_version_is_kept(story, at):
    at("third")
    decision = story.third.decision
    assert (decision.outcome, decision.alias, decision.champion, decision.audit) == ("keep", "challenger", "2", None)
    assert decision.comparison.decided_before == 1  # by the promotion of 2; the refused one was none
    # Version 1, champion on other gate rows, was measured better there than 2 was on these, or it is not looked at.
    marks = [entry.figures["accuracy"] for entry in read_ledger(NAME) if entry.outcome == "promote"]
    assert (decision.comparison.overlap_rows > 0) == (marks[0] > marks[1])
    assert decision.comparison.high_water.version == "2"
    assert read_aliases(NAME) == {"champion": "2", "challenger": "3"}
    last = read_ledger(NAME)[-1]
    assert (last.outcome, last.version, last.champion_after) == ("keep", "3", "2")
    assert re.fullmatch(r"training [\d-]+ [\d:]+ films-lstm seed 1", last.actor)


def test_a_gain_that_is_neither_shown_nor_ruled_out_or_within_seed_noise_is_undecided_and_counted(story, at, decide):
    at("mended")
    gain = story.promoted["comparison"]["accuracy"]["gain"]["value"]
    first = decide("2", f"registration.gate.required_gain={gain}")
    assert (first.outcome, first.comparison.decided_before, first.audit) == ("undecided", 0, None)
    record_noise(NAME, SeedNoise(accuracies=(0.5, 0.9), spread=gain, gate_sha256="", config_sha256=""))
    second = decide("2")
    assert (second.outcome, second.comparison.decided_before) == ("undecided", 1)
    assert {check.name: check.passed for check in second.checks}["seed noise"] is None
    assert read_aliases(NAME) == {"champion": "1", "challenger": "2"}
    assert [entry.outcome for entry in read_ledger(NAME)][-2:] == ["undecided", "undecided"]


def test_other_gate_rows_have_all_versions_scored_on_them(story, at, decide, tmp_path):
    at("third")
    sha256, rows, audit_rows = write_gate_rows(
        story.third.reviews.file("reviews.parquet"), np.array([], np.int64), 0.6, tmp_path
    )
    other = GateRows(path=str(tmp_path), sha256=sha256, rows=rows, audit_rows=audit_rows)
    comparison = decide("3", gate_rows=other).comparison
    assert (comparison.gate_sha256, comparison.decided_before) == (sha256, 0)
    assert comparison.rows == rows - comparison.overlap_rows < story.third.decision.comparison.rows
    assert comparison.accuracy.rows == comparison.rows
    assert comparison.champion.metrics["accuracy"] != story.third.decision.comparison.champion.metrics["accuracy"]
    assert comparison.high_water.accuracy == comparison.champion.metrics["accuracy"]


def test_the_mark_of_a_version_that_was_deleted_is_what_the_ledger_has_of_it(at, decide):
    at("third")
    recorded = next(entry for entry in read_ledger(NAME) if entry.version == "2" and entry.outcome == "promote")
    override_gate("3", "To have a champion after 2.")
    connect().delete_model_version(NAME, "2")
    decision = decide("1")
    assert decision.comparison.high_water == HighWaterMark(version="2", accuracy=recorded.figures["accuracy"])
    assert {check.name: check.passed for check in decision.checks}["high-water mark"] is False
    assert (decision.outcome, read_aliases(NAME)["champion"]) == ("keep", "3")


def test_a_promotion_that_comes_between_leads_to_a_new_comparison(at, decide, monkeypatch):
    at("third")
    roll_back("1", "To have 2 promoted again.")
    compared_with = []
    really_compare = deciding.compare_versions

    def compare_while_another_is_promoted(challenger, champion, *arguments, **options):
        compared_with.append(champion.summary.version)
        if len(compared_with) == 1:
            override_gate("3", "It came between.")
        return really_compare(challenger, champion, *arguments, **options)

    monkeypatch.setattr(deciding, "compare_versions", compare_while_another_is_promoted)
    decision = decide("2")
    assert compared_with == ["1", "3"]
    assert (decision.outcome, decision.replaced) == ("promote", "3")
    moves = [(entry.champion_before, entry.champion_after) for entry in read_ledger(NAME) if entry.outcome == "promote"]
    assert moves[-2:] == [("1", "3"), ("3", "2")]
    assert read_aliases(NAME)["champion"] == "2"


def test_an_override_is_entered_as_one_with_its_reason(at, command):
    at("third")
    told = command("promote", "3", "--override", "--reason", "The old one cannot read emoji.").stdout
    assert "films-lstm version 3 is champion, after version 2: override, entry 7." in told
    entry = read_ledger(NAME)[-1]
    assert (entry.action, entry.outcome, entry.reason) == ("override", "promote", "The old one cannot read emoji.")
    assert entry.digests["files"] == find_version(NAME, "3").tags["files.sha256"]
    assert read_aliases(NAME) == {"champion": "3"}
    assert "The old one cannot read emoji." in find_version(NAME, "3").description
    assert "This page speaks of version 3." in connect().get_registered_model(NAME).description


def test_a_tampered_version_is_put_in_place_by_nobody_and_scores_nothing(at):
    from flows.promotion import override, rollback

    at("third")
    before = state()
    for version, put, entry in (("3", override, 6), ("1", rollback, 1)):
        tamper(version)
        with pytest.raises(ModelMismatch, match=r"'artifacts/vocabulary\.json' is changed"):
            put(NAME, version, "I like it.")
        tamper_with_record(version)
        forged = rf"version {version} .* its tag files.sha256 is .*, and was .* in entry {entry} of the ledger"
        with pytest.raises(ModelMismatch, match=forged):
            put(NAME, version, "I like it.")
        with pytest.raises(ModelMismatch, match=forged):
            score_texts(find_version(NAME, version).summary, ["A film."])
    assert state() == before


def test_a_rollback_puts_an_earlier_champion_back(at, command):
    at("third")
    record = json.loads(command("rollback", "--reason", "Complaints since Monday.", "--json").stdout)
    assert (record["model"], record["action"], record["version"], record["champion_before"]) == (NAME, "rollback", "1", "2")
    assert read_aliases(NAME) == {"champion": "1", "challenger": "3"}
    assert "Complaints since Monday." in find_version(NAME, "1").description
    assert "Not the champion. The last word on this one, by rollback: Complaints" in find_version(NAME, "2").description
    assert "This page speaks of version 1." in connect().get_registered_model(NAME).description
    assert roll_back("2", "They were wrong.").champion_after == "2"
    before = state()
    with pytest.raises(InputError, match="version 3 of 'films-lstm' was never champion: reprise promote 3"):
        roll_back("3", "I like it.")
    for again in (lambda: roll_back("2", "I like it."), lambda: override_gate("2", "I like it.")):
        with pytest.raises(InputError, match="is the champion already"):
            again()
    assert state() == before


def test_a_rollback_mends_what_was_done_by_hand(at):
    at("third")
    connect().set_registered_model_alias(NAME, "champion", "3")
    assert "moved by hand to version 3; its ledger says 2" in find_champion_trouble(NAME)
    roll_back("2", "It was moved by hand.")
    assert (read_aliases(NAME)["champion"], find_champion_trouble(NAME)) == ("2", None)

    connect().delete_model_version(NAME, "2")
    assert "version 2 of 'films-lstm', the champion, is gone" in find_champion_trouble(NAME)
    entry = roll_back(rollback_target(NAME), "It was deleted.")
    publish_pages(NAME, entry.version, before=entry.champion_before)
    assert (read_aliases(NAME)["champion"], find_champion_trouble(NAME)) == ("1", None)
    assert "It was deleted." in find_version(NAME, "1").description


def move_alias():
    connect().set_registered_model_alias(NAME, "champion", "1")


def change_digest():
    connect().set_model_version_tag(NAME, "2", "files.sha256", "0" * 64)


def delete_training_texts():
    run = mlflow.get_run(find_version(NAME, "2").summary.run_id)
    (Path(run.info.artifact_uri.removeprefix("file://")) / "data" / "training.parquet").unlink()


@pytest.mark.parametrize(
    ("damage", "subject", "told"),
    [
        (lambda: tamper("1"), "version 1", r"'artifacts/vocabulary\.json' is changed"),
        (lambda: tamper_with_record("1"), "version 1", r"its tag files\.sha256 is .*, and was .* in entry 1 of the ledger"),
        (change_digest, "version 2", r"its tag files\.sha256 is 0000.* of the ledger"),
        (delete_training_texts, "version 2", r"data/training\.parquet of run .* is gone"),
        (move_alias, "ledger and alias", "moved by hand to version 1; its ledger says 2"),
    ],
    ids=["file", "file and tags", "digest", "training texts", "alias"],
)
def test_verify_finds(at, damage, subject, told):
    """What is not damaged is in order: `test_verify_and_models_tell_what_is_wrong` shows it."""
    at("second")
    damage()
    found = {finding.subject: finding.trouble for finding in verify_model(NAME) if finding.trouble}
    # What is wrong with the champion is wrong with both.
    assert set(found) == {subject} | ({"ledger and alias"} if subject == "version 2" else set())
    assert re.search(told, found[subject])


def test_verify_and_models_tell_what_is_wrong(at, command):
    at("second")
    holds = json.loads(command("verify", "--json").stdout)
    assert [(one["subject"], one["trouble"]) for one in holds] == [
        ("ledger and alias", None),
        ("version 2", None),
        ("version 1", None),
    ]
    assert {row["champion_trouble"] for row in json.loads(command("models", "--json").stdout)} == {None}
    move_alias()
    with pytest.raises(RepriseError, match="1 of 2 checks of films-lstm failed") as failed:
        command("verify", "1")
    assert type(failed.value) is RepriseError  # so the exit is 1, and 2 below
    with pytest.raises(InputError, match="'9'"):
        command("verify", "9")
    listed = command("models")
    assert "warning: the alias champion of 'films-lstm' was moved by hand to version 1" in listed.stderr
    troubles = [row["champion_trouble"] for row in json.loads(command("models", "--json").stdout)]
    assert [trouble.split(";")[0] for trouble in troubles] == [
        "the alias champion of 'films-lstm' was moved by hand to version 1"
    ] * 2


def test_history_and_champion_read_the_ledger(at, command):
    at("third")
    entries = read_ledger(NAME)
    assert json.loads(command("history", "--json").stdout) == [entry.model_dump(mode="json") for entry in entries]
    lines = command("history").stdout
    for words in (r"refused", "1 -> 2", "keep"):
        assert words in lines

    def champion(moment):
        return json.loads(command("champion", "--at", moment, "--json").stdout)["version"]

    first, promotion = entries[0].time, next(entry for entry in entries if entry.version == "2" and entry.outcome == "promote")
    promoted = promotion.time
    assert champion((first - timedelta(seconds=1)).isoformat()) is None
    assert champion(first.isoformat()) == champion((promoted - timedelta(microseconds=1)).isoformat()) == "1"
    # Without a time zone it is UTC.
    assert champion(promoted.replace(tzinfo=None).isoformat()) == champion("2999-01-01T00:00+01:00") == "2"
    assert "had no champion at" in command("champion", "--at", "2000-01-01").stdout
    now = command("champion").stdout
    assert f"{NAME} version 2, since {promoted:%Y-%m-%d %H:%M:%S} UTC, by gate." in now
    assert promotion.reason in now
    with pytest.raises(InputError, match="--at 'last Monday' is no moment"):
        command("champion", "--at", "last Monday")


def test_options_that_do_not_go_together_are_refused(at, command):
    at("third")
    before = state()
    with pytest.raises(InputError, match="--override needs --reason TEXT"):
        command("promote", "3", "--override")
    with pytest.raises(InputError, match="--reason belongs to --override"):
        command("promote", "3", "--reason", "I like it.")
    for unknown in (("promote", "9"), ("show", "9")):
        with pytest.raises(InputError, match="'9' of 'films-lstm'"):
            command(*unknown)
    with pytest.raises(InputError, match="no registered model 'other': there is films-lstm"):
        command("show", "--model", "other")
    assert state() == before


@pytest.mark.long
def test_seed_noise_is_measured_and_kept_with_the_model(story, at, command):
    at("second")
    versions = list_versions()
    sets = [f"--set={one}" for one in (*SMALL, f"data.path={story.old}", "training.epochs=1", "training.learning_rate=0.01")]
    given = json.loads(command("noise", "--config", "sample", "--seeds", "3", "--json", *sets).stdout)
    noise = read_noise(NAME)
    assert given == {"model": NAME, **noise.model_dump(mode="json")}
    assert noise.gate_sha256 == story.first.gate_rows.sha256
    runs = mlflow.search_runs(
        search_all_experiments=True, output_format="list", filter_string=f"tags.`seed_noise.of` = '{NAME}'"
    )
    assert sorted(run.data.metrics["test/accuracy"] for run in runs) == sorted(noise.accuracies)
    assert len({run.data.metrics["test_baseline/accuracy"] for run in runs}) == 1  # whatever the seed
    assert noise.spread == pytest.approx(np.sqrt(2) * np.std(noise.accuracies, ddof=1))
    assert list_versions() == versions


def test_a_training_that_would_open_sealed_rows_does_not_begin(story, at):
    from flows.training import training

    at("third")
    runs = len(mlflow.search_runs(search_all_experiments=True, output_format="list"))
    with pytest.raises(InputError, match=r"audit_fraction 0\.1 would open test rows that are sealed for films-lstm"):
        training(configure(story.new, "evaluation.audit_fraction=0.1"))
    assert len(mlflow.search_runs(search_all_experiments=True, output_format="list")) == runs


@pytest.mark.parametrize("delete", ["the champion, the only version", "the model"])
def test_models_tells_of_a_champion_that_is_gone_though_no_version_is_left(at, command, delete):
    at("first")
    if delete == "the model":
        connect().delete_registered_model(NAME)
    else:
        connect().delete_model_version(NAME, "1")
    told = (
        "the registered model 'films-lstm' is gone, and its promotion ledger"
        if delete == "the model"
        else "version 1 of 'films-lstm', the champion, is gone"
    )
    listed = command("models")
    assert told in listed.stderr
    assert "No registered model yet" not in listed.stdout
    listed = command("models", "--json")
    assert (json.loads(listed.stdout), told in listed.stderr) == ([], True)
    with pytest.raises(RepriseError, match=r"1 of 1 checks of films-lstm failed"):
        command("verify")
