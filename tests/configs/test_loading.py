import pytest
import yaml

from configs.loading import check_config, flatten, override, preset_names, read_config
from tasks.errors import ConfigError


def test_the_imdb_preset_is_the_notebooks_run():
    config = check_config(read_config("imdb"), "imdb")
    assert (config.padding.vocabulary_size, config.padding.maxlen) == (5000, 300)
    assert (config.padding.padding, config.padding.truncating) == ("pre", "pre")
    assert (config.model.embedding_dimension, config.model.lstm_units, config.model.mask_padding) == (15, 10, False)
    training = config.training
    assert (training.batch_size, training.epochs, training.verbosity, training.compiled) == (128, 5, 1, True)
    assert (training.early_stopping, training.restore_best_weights) == (None, False)
    assert config.data.validation_fraction == 0.2
    assert (config.registered_model, config.experiment) == ("imdb-lstm", "imdb")


def test_every_preset_is_valid_and_names_every_section_it_sets():
    assert preset_names() == ["imdb", "imdb-best", "sample"]
    for name in preset_names():
        check_config(read_config(name), name)


@pytest.mark.parametrize(
    ("assignment", "line"),
    [
        ("training.epochs=five", "training.epochs: Input should be a valid integer (got 'five')"),
        ("training.epochs=2.5", "training.epochs: Input should be a valid integer (got 2.5)"),
        ("training.epochs=0", "training.epochs: Input should be greater than 0 (got 0)"),
        ("training.epoch=3", "training.epoch: unknown key"),
        ("training.learning_rate=.nan", "training.learning_rate: Input should be a finite number (got nan)"),
        ("training.learning_rate=.inf", "training.learning_rate: Input should be a finite number (got inf)"),
        ("trainings.epochs=3", "trainings: unknown key"),
        ("data.source=npz", "data: source 'npz' needs data.path"),
        ("data.path=x.npz", "data: source 'imdb' takes no data.path"),
        ("registration.floors={accuracy: 1.5}", "registration.floors.accuracy: Input should be less than or equal to 1"),
        ("evaluation.length_bands=[200, 100]", "evaluation: length_bands must rise"),
    ],
)
def test_a_wrong_value_is_refused_with_its_path(assignment, line):
    with pytest.raises(ConfigError) as refusal:
        check_config(override(read_config("imdb"), [assignment]), "imdb")
    assert str(refusal.value).startswith(f"imdb: {line}")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("assignment", ["training.epochs", "epochs=3", "=3", "training.=3", "training.epochs.x=1"])
def test_an_assignment_of_another_form_is_refused(assignment):
    with pytest.raises(ConfigError, match="--set"):
        override(read_config("imdb"), [assignment])


def test_an_override_changes_its_key_alone():
    before = read_config("imdb")
    after = override(before, ["training.epochs=3", "training.early_stopping={patience: 1}"])
    changed = {key for key in flatten(after) if flatten(after)[key] != flatten(before).get(key)}
    assert changed == {"training.epochs", "training.early_stopping.patience"}
    assert check_config(after, "imdb").training.early_stopping.patience == 1


def test_a_file_that_is_no_configuration_is_refused(tmp_path):
    broken, listed = tmp_path / "broken.yaml", tmp_path / "list.yaml"
    broken.write_text("data: {source: imdb\n")
    listed.write_text("- data\n")
    for path, line in (
        (broken, "not valid YAML at line 2"),
        (listed, "a mapping of sections"),
        (tmp_path / "no", "no configuration"),
    ):
        with pytest.raises(ConfigError, match=line):
            read_config(str(path))


def test_a_resolved_configuration_reads_back_as_itself():
    config = check_config(read_config("sample"), "sample")
    again = yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))
    assert check_config(again, "again") == config
    assert check_config(again, "again").padding.digest() == config.padding.digest()


@pytest.mark.parametrize(
    ("path", "dataset"),
    [
        ("/data/imdb.npz", "imdb"),
        ("My Reviews.csv.gz", "my-reviews"),
        ("s3://bucket/aclImdb/", "aclimdb"),
        ("/x/...csv", "reviews"),
    ],
)
def test_a_dataset_is_named_after_its_path(path, dataset):
    config = override(read_config("imdb"), ["data.source=table", f"data.path={path}"])
    assert check_config(config, "x").registered_model == f"{dataset}-lstm"


def test_a_label_may_be_written_as_a_number():
    labels = ["data.negative_labels=[0, bad]", "data.positive_labels=[1]"]
    config = check_config(override(read_config("sample"), labels), "test")
    assert (config.data.negative_labels, config.data.positive_labels) == (["0", "bad"], ["1"])
