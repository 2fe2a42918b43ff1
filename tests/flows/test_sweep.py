"""Sweeps on real reviews, with real Prefect, MLflow, Dask and Optuna."""

import os
import signal
import subprocess
import sys
import time

import mlflow
import psutil
import pytest
import yaml

from configs.loading import check_section
from configs.sweep import SweepConfig
from tasks.errors import ConfigError
from tasks.search.study import open_study, outcomes
from tasks.tracking import training_run
from tasks.workspace import home

RATES = {"training.learning_rate": {"low": 0.001, "high": 0.1, "log": True}}


def make_sweep(**keys):
    given = {"name": "small", "trials": 2, "pruner": "none", "sampler": "random", "threads": 1, "space": RATES}
    return check_section({**given, **keys}, "test", SweepConfig)


@pytest.fixture
def run_trials(prefect_api, embedded_mlflow):
    """Run trials on a runner, as the sweep does, and return what became of them."""
    from flows.runners import task_runner
    from flows.sweep import trials
    from tasks.ingestion.task import ingest
    from tasks.padding.task import pad_reviews
    from tasks.validation.task import validate_reviews

    def run_trials(config, sweep, *queued):
        study = open_study(sweep, config)
        for values in queued:
            study.enqueue_trial(values)
        with training_run(config, name=sweep.name, tags={}) as run:
            reviews = ingest(config.data)
            validation = validate_reviews(reviews, config.validation)
            padded = pad_reviews(reviews, validation, config.padding)
            runner = task_runner(sweep.runner)
            trials.with_options(task_runner=runner)(sweep.trials, sweep, config, reviews, validation, padded, run, {"a": "b"})
        return outcomes(study, sweep), run

    return run_trials


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--sweep", "nowhere"], "no configuration 'nowhere': give a YAML file or one of imdb"),
        (["--address", "tcp://scheduler:8786"], "sweep imdb: runner: address is of a Dask or Ray cluster, not of processes"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(command, options, line):
    with pytest.raises(ConfigError, match=line):
        command("sweep", "--config", "sample", *options)


@pytest.mark.long
def test_the_same_values_give_the_same_figures_on_every_runner(run_trials, configure):
    config = configure("training.epochs=1")
    runners = {"alone": ("threads", 1), "threads": ("threads", 2), "processes": ("processes", 2)}
    found = {}
    for name, (kind, workers) in runners.items():
        trials, _ = run_trials(config, make_sweep(name=name, runner={"kind": kind, "workers": workers}))
        found[name] = sorted((trial.params["training.learning_rate"], trial.value) for trial in trials)
    assert len(set(found["alone"])) == 2
    assert found["alone"] == found["threads"] == found["processes"]


def test_a_trial_that_is_pruned_or_fails_ends_alone(run_trials, configure):
    config = configure("training.epochs=2")
    sweep = make_sweep(
        trials=4,
        pruner="median",
        startup_trials=1,
        runner={"kind": "threads", "workers": 1},
        space={"training.learning_rate": {"choices": [0.01, 1e-7, 1e38]}, "padding.maxlen": {"choices": [60, 20]}},
    )
    queued = [{"training.learning_rate": rate, "padding.maxlen": 60} for rate in (0.01, 1e-7, 1e38)]
    trials, parent = run_trials(config, sweep, *queued, {"training.learning_rate": 0.01, "padding.maxlen": 20})
    assert [trial.state for trial in trials] == ["complete", "pruned", "failed", trials[3].state]
    runs = [mlflow.get_run(trial.run_id) for trial in trials]
    assert [run.info.status for run in runs[:3]] == ["FINISHED", "KILLED", "FAILED"]
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {parent.run_id}
    assert {run.data.tags["a"] for run in runs} == {"b"}
    assert runs[1].data.tags["pruned"].startswith("pruned at epoch 1, val_loss ")
    assert runs[2].data.tags["error"].startswith("TrainingDiverged: loss is")
    assert runs[3].data.params["padding.maxlen"] == "20"
    epochs = mlflow.MlflowClient().get_metric_history(runs[0].info.run_id, "epoch/validation_loss")
    assert [point.step for point in epochs] == [1, 2]
    assert trials[0].value == epochs[1].value == runs[0].data.metrics["trial/val_loss"]
    assert not any(name.startswith("test") for run in runs for name in run.data.metrics)


@pytest.mark.long
def test_a_sweep_that_is_killed_loses_no_finished_trial_and_goes_on(prefect_api, embedded_mlflow, configure, tmp_path):
    """Its parent is killed while Dask's workers train; then the same sweep goes on in this process, on threads."""
    config = configure("training.epochs=12")
    sweep = make_sweep(trials=50)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep.model_dump(mode="json", exclude_none=True)))
    before = kill_with_trials_done_and_running(config, sweep, tmp_path)

    from flows.sweep import sweep as run_sweep

    result = run_sweep(config, make_sweep(trials=3, runner={"kind": "threads", "workers": 2}))
    after = outcomes(open_study(sweep, config), sweep)
    assert [trial for trial in after if trial.number in {one.number for one in before}] == list(before)
    assert [trial.state for trial in after] == ["complete"] * 3
    check_killed_trials(config, sweep, after)
    check_sweep_record(result, after)


def kill_with_trials_done_and_running(config, sweep, folder):
    """Kill the command as soon as one trial is complete and another has told an epoch; return the complete ones."""
    command = [sys.executable, "-m", "flows.cli", "sweep", "--config", "config.yaml", "--sweep", "sweep.yaml"]
    command += ["--trials", "3", "--runner", "dask", "--workers", "2"]
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, "PREFECT_API_URL": ""})
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None:
            if (home() / "sweeps" / "small.journal").exists():
                trials = open_study(sweep, config).get_trials()
                if any(trial.value for trial in trials) and any(trial.last_step and not trial.value for trial in trials):
                    break
            time.sleep(0.1)
        assert process.poll() is None
        family = psutil.Process(process.pid).children(recursive=True)
        assert sum("spawn_main" in " ".join(child.cmdline()) for child in family) == 2  # Dask's workers
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
    return outcomes(open_study(sweep, config), sweep)


def check_killed_trials(config, sweep, after):
    """Those that were running when it was killed ran again with the same values, and no MLflow run of theirs goes on."""
    trials = open_study(sweep, config).get_trials()
    killed = [trial for trial in trials if trial.state.name == "FAIL"]
    assert killed
    for trial in killed:
        assert any(one.params == trial.params for one in after if one.number > trial.number)
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert "RUNNING" not in {run.info.status for run in runs}
    told = {run.info.run_id: run.data.tags.get("error") for run in runs}
    assert {told[trial.user_attrs["run_id"]] for trial in killed if "run_id" in trial.user_attrs} == {"its process was killed"}


def check_sweep_record(result, after):
    best = min(after, key=lambda trial: trial.value)
    assert result.best == best
    # The network that is registered is the very one that was chosen: it is trained again, bit for bit.
    assert result.training.model.history["val_loss"][-1] == best.value
    chosen = mlflow.get_run(result.training.run.run_id).data
    assert (chosen.tags["sweep"], chosen.tags["sweep.trial"]) == ("small", str(best.number))
    assert float(chosen.params["training.learning_rate"]) == best.params["training.learning_rate"]
    assert result.training.decision.outcome == "promote"
    record = mlflow.get_run(result.run.run_id)
    assert record.info.status == "FINISHED"
    assert record.data.metrics["best/val_loss"] == best.value
    assert record.data.tags["mlflow.note.content"].startswith("# Sweep small\n")
    assert record.data.tags["sweep.version"] == result.training.version.version
    figures = {entry.path for entry in mlflow.MlflowClient().list_artifacts(result.run.run_id, "figures")}
    assert figures == {"figures/history.png", "figures/epochs.png", "figures/parallel_coordinates.png"}
