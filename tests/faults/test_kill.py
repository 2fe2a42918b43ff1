"""Trainings that were killed at any point and started again: what comes out is what would have come out, once."""

import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from typing import NamedTuple

import mlflow
import pytest

from tests.faults.conftest import Workplace

pytestmark = pytest.mark.long

FAULT = "kill -9 (and SIGTERM) of a training"
EPOCHS = 6
GO_ON = "`reprise train --resume` goes on with run "
# Not the run's duration, which is another each time; and what is told of time in each epoch.
TIMES = ("time/", "system/", "epoch/seconds")


class Outcome(NamedTuple):
    """What a training has left in MLflow: its run, the values of its metrics by name and step, its version's tags."""

    run: mlflow.entities.Run
    metrics: dict[tuple[str, int], list[float]]
    tags: dict[str, str]
    mistakes: int
    entries: list[str]


@pytest.fixture(scope="module")
def make_workplace(migrated_store, prefect_server, configure, tmp_path_factory):
    """Make a workplace with the configuration of a training of six epochs; those of this module share one server."""

    def make():
        folder = tmp_path_factory.mktemp("kill") / "workplace"
        (folder / "mlruns").mkdir(parents=True)
        shutil.copy(migrated_store, folder / "mlruns" / "mlflow.db")
        own = {"PREFECT_API_URL": prefect_server, "REPRISE_HOME": str(folder / ".reprise"), "COLUMNS": "200"}
        workplace = Workplace(folder, {**os.environ, **own}, configure)
        workplace.write_config(f"training.epochs={EPOCHS}", "training.batch_size=16")
        return workplace

    return make


@pytest.fixture(scope="module")
def whole(make_workplace):
    """A training that nothing disturbed, and the seconds that it took."""
    workplace = make_workplace()
    start = time.monotonic()
    workplace.run("train", "--config", "fault.yaml")
    seconds = time.monotonic() - start
    return read_outcome(workplace), seconds


def read_outcome(workplace):
    """Read the one run and the one version that there must be, and how the ledger decided."""
    store = workplace.store
    (experiment,) = store.search_experiments(filter_string="name = 'slice'")
    (run,) = store.search_runs([experiment.experiment_id])
    metrics = {}
    for name in run.data.metrics:
        for point in store.get_metric_history(run.info.run_id, name):
            metrics.setdefault((name, point.step), []).append(point.value)
    (version,) = store.search_model_versions("name = 'slice-lstm'")
    assert store.search_logged_models([experiment.experiment_id])[0].source_run_id == run.info.run_id
    assert len(store.search_logged_models([experiment.experiment_id])) == 1
    mistakes = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/evaluation/mistakes.json")
    (promotions,) = store.search_experiments(filter_string="name = 'promotions'")
    (ledger,) = store.search_runs([promotions.experiment_id])
    entries = [json.loads(text)["entry"] for key, text in sorted(ledger.data.params.items()) if key.startswith("entry.")]
    decided = [f"{entry['action']} {entry['outcome']} {entry['version']}" for entry in entries]
    return Outcome(run, metrics, dict(version.tags), len(mistakes["data"]), decided)


def has_finished(workplace):
    experiments = [one.experiment_id for one in workplace.store.search_experiments(filter_string="name = 'slice'")]
    return bool(experiments) and bool(workplace.store.search_runs(experiments, "attributes.status = 'FINISHED'"))


def require_same(outcome, whole):
    """Require of a training that was killed all that the other one has: no more and no less."""
    assert outcome.run.info.status == "FINISHED"
    assert "error" not in outcome.run.data.tags
    for tag in ("weights_sha256", "reviews.sha256", "decision.outcome"):
        assert outcome.tags.get(tag) == whole.tags.get(tag)
    assert outcome.run.data.tags["weights_sha256"] == whole.run.data.tags["weights_sha256"]
    assert outcome.entries == whole.entries
    assert outcome.mistakes == whole.mistakes
    assert sorted(outcome.metrics) == sorted(whole.metrics)
    assert [point for point, values in outcome.metrics.items() if len(values) != 1] == []
    for (name, step), values in whole.metrics.items():
        if not name.startswith(TIMES):
            assert outcome.metrics[name, step] == values, name


class Killed(NamedTuple):
    """What a training had printed when a signal ended it, and whether it had begun its run."""

    output: str
    errors: str
    run_id: str | None


def start_and_kill(workplace, ending, *, after_line=None, after_seconds=0.0):
    """Start the training, and end it so long after its first line, or after the first line that begins with a text."""
    training = workplace.start("train", "--config", "fault.yaml")
    lines, errors = [], []
    listening = threading.Thread(target=lambda: errors.extend(training.stderr))
    listening.start()
    if after_line is not None:
        for line in training.stdout:
            lines.append(line)
            if line.startswith(after_line):
                break
        else:
            pytest.fail("the training ended by itself: " + "".join(errors))
    time.sleep(after_seconds)
    training.send_signal(ending)
    lines += training.stdout
    training.wait(60)
    listening.join()
    folders = list((workplace.folder / ".reprise" / "runs").glob("*/unfinished.json"))
    return Killed("".join(lines), "".join(errors), folders[0].parent.name if folders else None)


def go_on(workplace, killed, *, resume):
    """Start it again, by `--resume` or as it was started; it goes on with its run, and repeats one epoch at most."""
    output, _ = workplace.run("train", *(["--resume"] if resume else ["--config", "fault.yaml"]))
    assert f"goes on with run {killed.run_id}, " in output
    begun = [line for line in killed.output.splitlines() if line.startswith("Epoch ")]
    again = [line for line in output.splitlines() if line.startswith("Epoch ")]
    assert len(set(begun) & set(again)) <= 1
    assert sorted({*begun, *again}) == [f"Epoch {number}/{EPOCHS}" for number in range(1, EPOCHS + 1)]
    return output


@pytest.mark.fault(FAULT)
def test_killed_in_an_epoch_it_goes_on_by_resume_and_then_there_is_nothing_to_resume(make_workplace, whole):
    workplace = make_workplace()
    killed = start_and_kill(workplace, signal.SIGKILL, after_line="Epoch 3/")
    output = go_on(workplace, killed, resume=True)
    assert f"goes on with run {killed.run_id}, after epoch 2 of {EPOCHS}" in output
    outcome = read_outcome(workplace)
    require_same(outcome, whole[0])
    tags = outcome.run.data.tags
    assert tags["resumed"] == f"1 x, the last time after epoch 2 of {EPOCHS}"
    assert tags["prefect.earlier_flow_run_ids"] != tags["prefect.flow_run_id"]
    assert list((workplace.folder / ".reprise" / "runs").glob("*/unfinished.json")) == []


@pytest.mark.fault(FAULT)
def test_stopped_after_registration_the_same_command_registers_no_second_version(make_workplace, whole):
    workplace = make_workplace()
    killed = start_and_kill(workplace, signal.SIGTERM, after_line="✓ registration")
    assert killed.errors.splitlines()[-2:] == ["stopped", f"{GO_ON}{killed.run_id}, after epoch {EPOCHS} of {EPOCHS}"]
    output = go_on(workplace, killed, resume=False)
    assert "Epoch " not in output
    require_same(read_outcome(workplace), whole[0])


@pytest.mark.fault(FAULT)
def test_killed_at_ten_random_points_it_always_ends_as_if_it_had_not_been(make_workplace, whole, tries):
    outcome, seconds = whole
    seed = int(os.environ.get("REPRISE_KILL_SEED") or random.SystemRandom().randrange(2**32))
    sys.stdout.write(f"REPRISE_KILL_SEED={seed} repeats these points\n")
    choose = random.Random(seed)  # noqa: S311 (which points are tried is no secret)
    for attempt in range(10):
        tries(attempt + 1, attempt)
        workplace = make_workplace()
        ending = (signal.SIGKILL, signal.SIGTERM)[attempt % 2]
        # By time from the start on, and by what it has come to: time alone would seldom meet the short stages.
        if attempt % 3 == 0:
            point = {"after_seconds": choose.uniform(0.3, 1.0) * seconds}
        else:
            lines = ["✓ ingestion", "✓ padding", "Epoch 1/", "Epoch 4/", "Epoch 6/", "✓ training", "✓ evaluation"]
            lines += ["✓ reference", "a fresh process", "✓ registration", "✓ decision"]
            point = {"after_line": choose.choice(lines), "after_seconds": choose.uniform(0, 0.5)}
        killed = start_and_kill(workplace, ending, **point)
        sys.stdout.write(f"{ending.name} at {point}: {killed.output.splitlines()[-1:]}\n")
        if has_finished(workplace):
            pass
        elif killed.run_id is None:  # it had not begun its run
            workplace.run("train", "--config", "fault.yaml")
        else:
            go_on(workplace, killed, resume=attempt % 4 < 2)
        require_same(read_outcome(workplace), outcome)
        tries(attempt + 1, attempt + 1)
