"""The `reprise` command as a user meets it: its exit codes, its one line, and what it leaves behind."""

import shutil
import socket
import subprocess
import sys

import mlflow
import pytest

from flows.cli import resolve_config
from tasks.errors import ConfigError, DataError, InputError
from tasks.ingestion.download import imdb_available

CSV = "text,label\n" + "".join(f"review number {n} is good,1\nreview number {n} is bad,0\n" for n in range(60))


@pytest.fixture
def reprise(tmp_path, migrated_store, migrated_home):
    """Run the command in a folder of its own, whose MLflow store is empty."""
    folder = tmp_path / "a folder"
    (folder / "mlruns").mkdir(parents=True)
    shutil.copy(migrated_store, folder / "mlruns" / "mlflow.db")

    def reprise(*arguments, stdin=""):
        return subprocess.run(
            [sys.executable, "-m", "flows.cli", *map(str, arguments)],
            cwd=folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    reprise.folder = folder
    return reprise


def assert_refused(run, *words, code=2):
    assert run.returncode == code, run.stderr
    assert "Traceback" not in run.stderr
    lines = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, run.stderr
    for word in words:
        assert word in lines[0]


def test_a_missing_file_is_named(reprise):
    assert_refused(reprise("train", "--data", "nowhere.csv"), "no such file", "nowhere.csv")
    with pytest.raises(ConfigError, match=r"nowhere\.yaml.*imdb, imdb-best, sample"):
        resolve_config("nowhere.yaml", None, [])


def test_there_must_be_a_training_to_resume_and_it_cannot_begin_anew_as_well(reprise):
    assert_refused(reprise("train", "--resume"), "no training was cut off", "reprise-home", "`reprise train` without --resume")
    assert_refused(
        reprise("train", "--resume", "--set", "training.epochs=2"), "no training with this configuration was cut off"
    )
    assert_refused(reprise("train", "--resume", "--force"), "--resume", "--force", "one of them")


def test_a_bad_key_and_a_wrong_type_are_named_by_their_path(tmp_path):
    config = tmp_path / "own.yaml"
    config.write_text("data: {source: sample}\ntraining: {epoch: 3}\n")
    with pytest.raises(ConfigError, match=r"own\.yaml.*training\.epoch: unknown key"):
        resolve_config(str(config), None, [])
    with pytest.raises(ConfigError, match=r"training\.epochs: .*valid integer.*'many'"):
        resolve_config("sample", None, ["training.epochs=many"])


def test_a_table_that_is_no_labelled_reviews_ends_the_run_as_failed(reprise):
    path = reprise.folder / "reviews.csv"
    path.write_text("text,rating\ngood,1\n")
    assert_refused(reprise("train", "--data", path), "reviews.csv", "label", "rating")
    client = mlflow.MlflowClient(f"sqlite:///{reprise.folder}/mlruns/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'reviews'")
    (failed,) = client.search_runs([experiment.experiment_id])
    assert failed.info.status == "FAILED"
    assert "reviews.csv" in failed.data.tags["error"]


def test_a_port_in_use_is_named(reprise):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_refused(reprise("ui", "--mlflow-port", port), str(port), "in use", "--mlflow-port")
        assert_refused(reprise("ui", "--mlflow-port", _free_port(), "--prefect-port", port), str(port), "--prefect-port")
    assert_refused(reprise("ui", "--mlflow-port", port, "--prefect-port", port), str(port), "both")


def test_a_report_without_its_folder_is_refused_before_training(command, tmp_path):
    with pytest.raises(InputError, match=r"no/where\.json"):
        command("train", "--config", "sample", "--report", tmp_path / "no/where.json")


def test_an_empty_registry_is_told_and_not_an_error(reprise, command, monkeypatch):
    monkeypatch.chdir(reprise.folder)
    assert "No registered model yet" in command("models").stdout
    assert command("models", "--json").stdout.strip() == "[]"
    with pytest.raises(InputError, match="no registered model yet"):
        command("predict", "A film.")
    assert_refused(reprise("show"), "no registered model yet")


def test_debug_shows_the_traceback(reprise):
    run = reprise("train", "--data", "nowhere.csv", "--debug")
    assert run.returncode == 2
    assert "Traceback" in run.stderr


def test_help_imports_none_of_the_heavy_libraries(reprise):
    heavy = {"tensorflow", "keras", "mlflow", "prefect", "great_expectations", "pandas", "numpy", "sklearn"}
    code = (
        f"import sys, flows.cli\ntry: flows.cli.app(['--help'])\nexcept SystemExit: pass\nassert not {heavy} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "Serve the MLflow and Prefect UIs" in run.stdout


def test_without_a_configuration_imdb_is_taken_if_it_can_be_had():
    available = imdb_available()
    config, note = resolve_config(None, None, [])
    assert config.registered_model == ("imdb-lstm" if available else "sample-lstm")
    assert ("official IMDB" in note) is available
    assert ("generated sample" in note) is not available


def test_data_replaces_the_source_and_keeps_the_rest(tmp_path):
    path = tmp_path / "films.csv"
    path.write_text(CSV)
    config, note = resolve_config(None, str(path), ["training.epochs=2", "data.validation_fraction=0.25"])
    assert (config.data.source, config.data.path, config.data.validation_fraction) == ("table", str(path), 0.25)
    assert (config.registered_model, config.experiment, config.training.epochs) == ("films-lstm", "films", 2)
    assert config.padding.vocabulary_size == 5000
    assert str(path) in note
    with pytest.raises(DataError, match=r"nothing\.csv"):
        resolve_config(None, str(tmp_path / "nothing.csv"), [])


def test_data_replaces_every_place_that_a_configuration_names(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("data: {source: table, path: old.csv, test_path: old_test.csv, text_column: review}\n")
    path = tmp_path / "films.csv"
    path.write_text(CSV)
    data = resolve_config(str(own), str(path), [])[0].data
    assert (data.path, data.test_path, data.text_column) == (str(path), None, "review")
    own.write_text("data:\n")
    assert resolve_config(str(own), str(path), [])[0].data.path == str(path)


def test_the_note_names_the_data_that_is_read(tmp_path):
    assignments = ["data.source=table", "data.path=films.csv"]
    assert resolve_config("sample", None, assignments)[1] == "Data: films.csv."
    assert resolve_config(None, None, assignments)[1] == "Data: films.csv."
    assert resolve_config("sample", None, [])[1] == "Data: the generated sample."


@pytest.mark.parametrize("url", ["s3://key:secret@bucket/a.csv", "https://host/a.csv?signature=secret"])
def test_a_url_with_a_secret_is_refused_without_repeating_it(url):
    with pytest.raises(ConfigError, match=r"data\.path: .*would be recorded") as refusal:
        resolve_config("sample", None, ["data.source=table", f"data.path={url}"])
    assert "secret@" not in str(refusal.value)
    assert "=secret" not in str(refusal.value)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
