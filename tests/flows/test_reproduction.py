"""A version built again by the real flow, from what a real MLflow store holds of it."""

import mlflow
import pandas as pd
import pytest
import yaml

from configs.loading import check_config, override, read_config
from tasks.errors import ConfigError, InputError
from tasks.registration.reproduction import read_recipe
from tasks.registration.versions import find_version
from tasks.results import list_kept

SMALL = (
    *("data.source=table", "data.split_column=split", "data.name=slice"),
    *("validation.min_rows=100", "padding.vocabulary_size=500", "padding.maxlen=60"),
    *("padding.longest_ngram=2", "model.mask_padding=true", "model.word_dropout=0.1", "model.state_dropout=0.5"),
    *("training.epochs=1", "training.batch_size=32", "evaluation.bootstrap_samples=100"),
    *("registration.floors={accuracy: 0.2}", "tracking.system_metrics=false"),
)


@pytest.fixture
def trained(prefect_api, embedded_mlflow, real_slice, tmp_path):
    """The first training's result, on a file of its own."""
    from flows.training import training

    path = tmp_path / "reviews.csv"
    path.write_bytes(real_slice.read_bytes())
    return training(check_config(override(read_config("imdb"), [*SMALL, f"data.path={path}"]), "test"))


def test_a_version_is_built_again_and_what_differs_is_told(trained):
    """All of it in one test, for the sake of one training."""
    from flows.reproduction import reproduction

    client = mlflow.MlflowClient()
    kept = [one.path for one in list_kept() if one.group != "runs"]

    same = reproduction("slice-lstm", "champion")
    assert (same.identical, same.weights_sha256, same.circumstances) == (True, trained.model.sha256, ())
    assert find_version("slice-lstm", "1").tags["reproduced"].startswith("identical 2")
    again, _ = mlflow.search_runs(experiment_names=["slice"], output_format="list")
    assert again.data.tags["reproduction.of"] == "slice-lstm/1"
    assert (again.info.status, again.data.tags["weights_sha256"]) == ("FINISHED", trained.model.sha256)
    assert [one.path for one in list_kept() if one.group != "runs"] == kept

    client.set_tag(trained.run.run_id, "package.numpy", "1.0")
    client.set_model_version_tag("slice-lstm", "1", "weights_sha256", "other")
    other = reproduction("slice-lstm", "1")
    assert (other.identical, other.weights_sha256, other.expected_sha256) == (False, trained.model.sha256, "other")
    assert other.circumstances == (other.differs,)
    assert other.differs.startswith("package numpy: 1.0 -> ")

    path = trained.reviews.source
    pd.read_csv(path).iloc[10:].to_csv(path, index=False)
    changed = reproduction("slice-lstm", "1")
    assert (changed.identical, changed.weights_sha256) == (False, None)
    assert changed.differs.startswith(f"data: {path} sha256 {trained.reviews.sha256} -> ")
    assert changed.differs in find_version("slice-lstm", "1").tags["reproduced"]

    check_recipe(trained.run.run_id)


def check_recipe(run_id):
    """A configuration that an older schema has written is completed, and one with a key that is no more refused."""
    tree = yaml.safe_load(mlflow.artifacts.load_text(f"runs:/{run_id}/config.yaml"))
    assert read_recipe("slice-lstm", "1").config.model_dump(mode="json") == tree

    del tree["training"]["deterministic"]
    mlflow.MlflowClient().log_text(run_id, yaml.safe_dump(tree), "config.yaml")
    assert read_recipe("slice-lstm", "1").config.training.deterministic

    tree["training"]["warm_up"] = 3
    mlflow.MlflowClient().log_text(run_id, yaml.safe_dump(tree), "config.yaml")
    with pytest.raises(ConfigError, match=r"slice-lstm version 1: training.warm_up: unknown key; it was written by commit"):
        read_recipe("slice-lstm", "1")


def test_a_version_that_is_not_there_or_has_no_record_is_refused(embedded_mlflow):
    client = mlflow.MlflowClient(f"sqlite:///{embedded_mlflow}/mlflow.db")
    client.create_registered_model("by-hand")
    client.create_model_version("by-hand", source="/nowhere", run_id=None)
    with pytest.raises(InputError, match="'7' of 'by-hand'"):
        read_recipe("by-hand", "7")
    with pytest.raises(InputError, match="by-hand version 1 was not registered by a training"):
        read_recipe("by-hand", "1")
