"""Studies in their real storage, without a training."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from optuna.trial import TrialState

from configs.loading import check_config, check_section, read_config
from configs.sweep import SweepConfig
from tasks.errors import ConfigError, InputError, RepriseError, TrainingDiverged, TrialPruned
from tasks.search.storage import study_alone
from tasks.search.study import (
    count_missing,
    draw_trial,
    enter_error,
    enter_figure,
    make_sampler,
    open_study,
    outcomes,
    reporter,
    requeue_killed,
    require_same,
)

CONFIG = check_config(read_config("sample"), "sample")
SPACE = {
    "training.learning_rate": {"low": 0.001, "high": 0.1, "log": True},
    "model.lstm_units": {"low": 4, "high": 12, "step": 4},
    "training.restore_best_weights": {"choices": [True, False]},
}


def make_sweep(**keys):
    return check_section({"name": "x", "trials": 4, "pruner": "none", "space": SPACE, **keys}, "x", SweepConfig)


def draw(sweep):
    study = open_study(sweep, CONFIG)
    return study, draw_trial(study, sweep, CONFIG)


def finish(sweep, figure=0.5):
    study, trial = draw(sweep)
    enter_figure(study, sweep, trial, figure)
    return trial.params


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_trials_are_drawn_alike_in_one_process_and_in_several(sampler):
    """The study is opened anew for each trial, as another process would."""
    studies = [("a", 0), ("b", 0), ("c", 1)]
    draws = [[finish(make_sweep(name=name, sampler=sampler, seed=seed)) for _ in range(7)] for name, seed in studies]
    assert draws[0] == draws[1] != draws[2]
    assert len({values["training.learning_rate"] for values in draws[0]}) == 7
    for values in draws[0]:
        assert 0.001 <= values["training.learning_rate"] <= 0.1
        assert type(values["model.lstm_units"]) is int
        assert values["model.lstm_units"] in (4, 8, 12)
        assert type(values["training.restore_best_weights"]) is bool


def test_trials_drawn_at_the_same_time_differ():
    sweep = make_sweep(sampler="random")
    open_study(sweep, CONFIG)
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda _: draw(sweep)[1].params["training.learning_rate"], range(4)))
    assert len(set(drawn)) == 4


def test_tpe_goes_where_the_figures_are_good():
    sweep = make_sweep(space={"training.learning_rate": SPACE["training.learning_rate"]}, startup_trials=8)
    for _ in range(24):
        study, trial = draw(sweep)
        enter_figure(study, sweep, trial, abs(trial.params["training.learning_rate"] - 0.01))
    late = [trial.value for trial in outcomes(study, sweep)[-8:]]
    early = [trial.value for trial in outcomes(study, sweep)[:8]]
    assert sum(late) < sum(early) / 2


def test_killed_trials_are_run_again_with_their_values_and_ended_ones_stay():
    sweep = make_sweep()
    finish(sweep)
    study, killed = draw(sweep)
    killed.set_user_attr("run_id", "abc")
    study, failed = draw(sweep)
    enter_error(study, sweep, failed, TrainingDiverged("loss is nan"))
    study, pruned = draw(sweep)
    pruned.report(0.9, 1)
    enter_error(study, sweep, pruned, TrialPruned("pruned at epoch 1"))
    assert count_missing(study, sweep) == 1
    assert requeue_killed(open_study(sweep, CONFIG), sweep) == ["abc"]
    assert requeue_killed(open_study(sweep, CONFIG), sweep) == []  # once is enough

    study, again = draw(sweep)
    assert again.params == killed.params
    assert count_missing(study, sweep) == 1
    enter_figure(study, sweep, again, 0.4)
    assert count_missing(study, sweep) == 0
    assert count_missing(study, make_sweep(trials=6)) == 2
    assert [(one.number, one.state, one.value) for one in outcomes(study, sweep)] == [
        (0, "complete", 0.5),
        (2, "failed", None),
        (3, "pruned", 0.9),
        (4, "complete", 0.4),
    ]
    assert outcomes(study, sweep)[1].error == "TrainingDiverged: loss is nan"


def test_a_study_that_is_itself_killed_while_it_queues_loses_no_values():
    """Killed after the values were queued and before the trial was ended: they are not queued twice."""
    sweep = make_sweep()
    study, killed = draw(sweep)
    study.enqueue_trial(killed.params, user_attrs={"repeats": killed.number})
    requeue_killed(open_study(sweep, CONFIG), sweep)
    assert len(study.get_trials(states=(TrialState.WAITING,))) == 1


@pytest.mark.parametrize(("metric", "worst"), [("val_loss", 9.0), ("val_accuracy", 0.1)])
def test_a_trial_worse_than_the_median_is_pruned_and_never_at_its_last_epoch(metric, worst):
    sweep = make_sweep(pruner="median", startup_trials=2, metric=metric, sampler="random")
    for figure in (0.5, 0.6):
        study, trial = draw(sweep)
        for epoch in (1, 2, 3):
            reporter(trial, sweep, 3)(epoch, {metric: figure})
        enter_figure(study, sweep, trial, figure)
    _, bad = draw(sweep)
    with pytest.raises(TrialPruned, match=r"pruned at epoch 1"):
        reporter(bad, sweep, 3)(1, {metric: worst})
    _, late = draw(sweep)
    reporter(late, sweep, 1)(1, {metric: worst})
    patient = make_sweep(pruner="median", startup_trials=2, metric=metric, warmup_epochs=2)
    study = open_study(patient, CONFIG)
    trial = draw_trial(study, patient, CONFIG)
    reporter(trial, patient, 3)(1, {metric: worst})
    with pytest.raises(TrialPruned, match=r"pruned at epoch 2"):
        reporter(trial, patient, 3)(2, {metric: worst})


def test_hyperband_prunes_too():
    sweep = make_sweep(pruner="hyperband", sampler="random", trials=12)
    pruned = 0
    for number in range(12):
        study, trial = draw(sweep)
        try:
            for epoch in range(1, 9):
                reporter(trial, sweep, 8)(epoch, {"val_loss": float(number)})
            enter_figure(study, sweep, trial, float(number))
        except TrialPruned as error:
            enter_error(study, sweep, trial, error)
            pruned += 1
    assert 0 < pruned < 12


@pytest.mark.parametrize(
    ("sweep", "config", "reviews", "named"),
    [
        ({"metric": "val_loss"}, {}, "other", "reviews"),
        ({"space": {"training.seed": {"low": 1, "high": 3}}}, {}, "r", "space"),
        ({"seed": 7}, {}, "r", "seed"),
        ({}, {"padding": CONFIG.padding.model_copy(update={"maxlen": 9})}, "r", "padding"),
    ],
)
def test_a_study_goes_on_with_what_it_began_with_alone(sweep, config, reviews, named):
    study = open_study(make_sweep(), CONFIG)
    require_same(study, make_sweep(), CONFIG, "r")
    quiet = CONFIG.model_copy(update={"training": CONFIG.training.model_copy(update={"verbosity": 2})})
    require_same(study, make_sweep(trials=50, threads=1), quiet, "r")
    with pytest.raises(InputError, match=f"began with another {named}"):
        require_same(study, make_sweep(**sweep), CONFIG.model_copy(update=config), reviews)


def test_two_processes_do_not_run_one_study_and_a_killed_one_leaves_no_lock():
    code = (
        "import sys\nfrom tests.search.test_study import *\nwith study_alone(make_sweep()): print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"\n"
        with pytest.raises(InputError, match="sweep x is running already"), study_alone(make_sweep()):
            pytest.fail("the block must not run")
        with study_alone(make_sweep(name="y")):
            pass
        holder.kill()
        holder.wait()
    with study_alone(make_sweep()):
        pass


def test_a_database_is_as_good_and_one_that_is_not_there_is_one_line(tmp_path):
    sweep = make_sweep(storage=f"sqlite:///{tmp_path}/studies.db")
    finish(sweep)
    assert (tmp_path / "studies.db").is_file()
    assert count_missing(open_study(sweep, CONFIG), sweep) == 3
    with pytest.raises(RepriseError, match=r"^storage of sweep x: ") as refusal:
        open_study(make_sweep(storage="sqlite:////no/such/folder/studies.db"), CONFIG)
    assert "\n" not in str(refusal.value)
    with pytest.raises(ConfigError, match=r"^storage: "):
        open_study(make_sweep(storage="nosuchdriver://host/optuna"), CONFIG)


def test_startup_trials_are_the_samplers_too():
    assert make_sampler(make_sweep(startup_trials=3), 0)._n_startup_trials == 3
