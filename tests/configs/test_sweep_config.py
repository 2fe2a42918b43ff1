import pytest

from configs.loading import check_config, check_section, preset_names, read_config
from configs.sweep import SweepConfig, value_of, with_values
from tasks.errors import ConfigError

SPACE = {"training.learning_rate": {"low": 0.001, "high": 0.1, "log": True}}


def check(space=SPACE, **keys):
    return check_section({"name": "x", "trials": 3, "space": space, **keys}, "sweep x", SweepConfig)


def test_every_shipped_sweep_is_valid_and_is_no_training_preset():
    assert preset_names("sweeps") == ["imdb"]
    assert "sweeps" not in preset_names()
    for name in preset_names("sweeps"):
        check_section(read_config(name, "sweeps"), name, SweepConfig)


@pytest.mark.parametrize(
    ("key", "searched", "line"),
    [
        ("training.learning_rates", {"low": 0.1, "high": 1.0}, "space: training.learning_rates: unknown key"),
        ("training.learning_rate", {"low": 0.0, "high": 1.0}, "space: training.learning_rate: Input should be greater than 0"),
        ("model.lstm_units", {"low": 1.5, "high": 4}, "space: model.lstm_units: Input should be a valid integer (got 1.5)"),
        ("model.lstm_units", {"low": 2, "high": 4, "step": 0.5}, "space: model.lstm_units: Input should be a valid integer"),
        (
            "training.shards",
            {"low": 1, "high": 65},
            "space: training.shards: Input should be less than or equal to 64 (got 65)",
        ),
        ("padding.padding", {"choices": ["pre", "left"]}, "space: padding.padding: Input should be 'pre' or 'post'"),
        ("training.early_stopping", {"choices": [3]}, "space: training.early_stopping: "),
        ("training", {"choices": [3]}, "space: training: "),
        (
            "evaluation.threshold",
            {"low": 0.1, "high": 0.9},
            "space: evaluation.threshold: only keys of padding, model, training",
        ),
        ("training.epochs", {"low": 4, "high": 2}, "space.training.epochs: low 4 is not below high 2"),
        ("training.epochs", {"low": 4}, "space.training.epochs: give low and high, or choices"),
        ("training.epochs", {"low": 1, "high": 6, "step": 2}, "space.training.epochs: high 6 is not low 1 and some steps of 2"),
        ("training.epochs", {"low": 1, "choices": [2]}, "space.training.epochs: either choices, or low and high"),
        ("training.epochs", {"low": 1, "high": 8, "log": True, "step": 1}, "space.training.epochs: log takes"),
        ("training.epochs", {"choices": []}, "space.training.epochs.choices: List should have at least 1 item"),
    ],
)
def test_a_space_that_no_training_could_have_is_refused_with_the_keys_path(key, searched, line):
    with pytest.raises(ConfigError) as refusal:
        check({key: searched})
    assert str(refusal.value).startswith(f"sweep x: {line}")


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"metric": "accuracy"}, "metric: Input should be 'val_loss' or 'val_accuracy'"),
        ({"name": "../x"}, "name: "),
        ({"trials": 0}, "trials: Input should be greater than 0"),
        ({"space": {}}, "space: "),
        ({"runner": {"kind": "threads", "address": "x"}}, "runner: address is of a Dask or Ray cluster"),
        ({"storage": "studies.db"}, "storage: not a database URL"),
    ],
)
def test_a_wrong_key_is_refused_with_its_path(keys, line):
    with pytest.raises(ConfigError) as refusal:
        check(**keys)
    assert str(refusal.value).startswith(f"sweep x: {line}")


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://me:secret@host/optuna", "postgresql://host/optuna?user=me&password=secret"]
)
def test_a_password_is_refused_and_not_repeated(url):
    with pytest.raises(ConfigError, match="PGPASSWORD") as refusal:
        check(storage=url)
    assert "secret" not in str(refusal.value)
    assert check(storage="postgresql+psycopg://me@host/optuna").storage


def test_values_replace_their_keys_alone():
    config = check_config(read_config("sample"), "sample")
    values = {"training.learning_rate": 0.5, "training.early_stopping.patience": 7, "padding.maxlen": 20}
    changed = with_values(config, values)
    assert {key: value_of(changed, key) for key in values} == values
    same = with_values(changed, {"training.learning_rate": config.training.learning_rate, "training.early_stopping": None})
    assert with_values(same, {"padding.maxlen": config.padding.maxlen}) == config


def test_values_that_do_not_go_together_are_refused():
    config = check_config(read_config("sample"), "sample")
    with pytest.raises(ConfigError, match=r"^training\.epochs: "):
        with_values(config, {"training.epochs": 0})
