"""Two of the same command at once, each a process of its own, in one workspace and one embedded store."""

import json
import os
import shutil
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from tasks.registration.ledger import read_ledger
from tasks.registration.verification import verify_model
from tasks.registration.versions import find_version, read_aliases
from tasks.results import list_kept, prune
from tests.faults.conftest import Workplace

pytestmark = [pytest.mark.long, pytest.mark.fault("two at once: trainings, promotions, prune")]
NAME = "slice-lstm"
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, migrated_store, prefect_server, configure):
    folder = tmp_path_factory.mktemp("at-once")
    (folder / "mlruns").mkdir()
    shutil.copy(migrated_store, folder / "mlruns" / "mlflow.db")
    environment = {**os.environ, "PREFECT_API_URL": prefect_server, "REPRISE_HOME": str(folder / ".reprise"), "COLUMNS": "200"}
    return Workplace(folder, environment, configure)


@pytest.fixture(autouse=True)
def here(workplace, monkeypatch):
    monkeypatch.chdir(workplace.folder)
    monkeypatch.setenv("REPRISE_HOME", str(workplace.folder / ".reprise"))


def finish(*processes):
    """Wait for commands, and return each one's exit status and what it printed, both outputs together."""
    ended = []
    for process in processes:
        output, errors = process.communicate(timeout=600)
        assert "Traceback" not in errors
        ended.append((process.returncode, output + errors))
    return ended


@pytest.fixture(scope="module")
def trained(workplace):
    """Two trainings of one model and one of another, begun together, and all the while `cache prune --older-than 0h`."""
    ended, removed = threading.Event(), []

    def prune_for_ever():
        while not ended.wait(0.05):
            removed.extend(one.group for one in prune(timedelta(0))[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPRISE_HOME", str(workplace.folder / ".reprise"))
        pruner = threading.Thread(target=prune_for_ever)
        pruner.start()
        try:
            arguments = [
                *([f"training.seed={seed}", f"training.epochs={seed + 1}"] for seed in SEEDS),
                ["registration.model_name=other", "tracking.experiment=other", "training.seed=7", "training.epochs=3"],
            ]
            trainings = []
            for number, assignments in enumerate(arguments):
                config = workplace.write_config(*assignments, name=f"{number}.yaml")
                trainings.append(workplace.start("train", "--config", config, "--report", f"{number}.json"))
            told = finish(*trainings)
        finally:
            ended.set()
            pruner.join()
    assert [code for code, _ in told] == [0, 0, 0], told
    reports = [json.loads((workplace.folder / f"{number}.json").read_text()) for number in range(3)]
    return [text for _, text in told], reports, removed


def test_trainings_of_one_model_wait_and_say_so_and_each_run_has_its_own(trained, workplace):
    told, reports, _ = trained
    assert sorted("waits for another training of slice-lstm" in text for text in told) == [False, False, True]
    assert "waits for another training" not in told[2]
    assert sorted((report["model"], report["version"]) for report in reports) == [("other", "1"), (NAME, "1"), (NAME, "2")]
    assert len({report["run_id"] for report in reports}) == len({report["weights_sha256"] for report in reports}) == 3
    for report, seed, epochs in zip(reports, (0, 1, 7), (1, 2, 3), strict=True):
        run = workplace.store.get_run(report["run_id"])
        assert (run.info.status, run.data.params["training.seed"]) == ("FINISHED", str(seed))
        points = workplace.store.get_metric_history(report["run_id"], "epoch/train_loss")
        assert [point.step for point in points] == list(range(1, epochs + 1))
        details = find_version(report["model"], report["version"])
        assert (details.summary.run_id, details.tags["weights_sha256"]) == (report["run_id"], report["weights_sha256"])
        config = workplace.store.download_artifacts(report["run_id"], "config.yaml")
        assert f"seed: {seed}\n" in Path(config).read_text()
    assert {one.trouble for name in (NAME, "other") for one in verify_model(name)} == {None}
    first, second = sorted(reports[:2], key=lambda report: report["version"])
    assert workplace.store.get_run(first["run_id"]).info.end_time <= workplace.store.get_run(second["run_id"]).info.end_time


def test_what_is_pruned_meanwhile_is_nothing_that_a_training_uses(trained, workplace):
    _, reports, removed = trained
    assert "runs" in removed or not list_kept()  # of the trainings that had ended
    assert len({report["dataset"]["sha256"] for report in reports}) == 1
    assert len({report["gate_rows"]["sha256"] for report in reports}) == 1
    prune(timedelta(0))
    assert list_kept() == []


def test_of_promotions_at_once_one_wins_and_the_other_says_so(trained, workplace):
    """They have the time of the proof, seconds, in which the other may come first."""
    champion = read_aliases(NAME)["champion"]
    others = {"1": "2", "2": "1"}
    for _ in range(3):
        before, challenger = len(read_ledger(NAME)), others[champion]
        override = ("promote", challenger, "--model", NAME, "--override", "--reason", "It is better.")
        results = finish(*(workplace.start(*override) for _ in range(2)))
        entries = read_ledger(NAME)[before:]
        assert [entry.champion_after for entry in entries] == [challenger]
        assert read_aliases(NAME)["champion"] == challenger
        codes = sorted(code for code, _ in results)
        if codes == [0, 1]:
            (lost,) = [text for code, text in results if code == 1]
            (line,) = [line for line in lost.splitlines() if line.startswith("error:")]
            assert f"stale base: version {challenger} of '{NAME}' became champion (entry {entries[0].number}" in line
            return
        assert codes == [0, 2]  # the second began only when the first was done: it is the champion already
        champion = challenger
    pytest.fail("in no round did the two meet")
