"""Versions that somebody put into the store or the registry to have their code run: refused by every way to load one.

Where `sealed` is said, whoever did it could also write the version's tags, so that its record of files holds. The ledger knows
a champion's files all the same; here no entry speaks of the version, so that what is loaded must be refused for what it is.
"""

import json
import os
import shutil
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import keras
import mlflow
import pytest
import yaml
from mlflow import MlflowClient

from configs.environment import library_defaults
from configs.schema import RegistrationConfig
from tasks.errors import ModelMismatch, RegistryError
from tasks.registration.by_hand import prove_usable
from tasks.registration.comparing import load_version
from tasks.registration.environments import python_for
from tasks.registration.manifest import DIGEST_TAG, FILE_PREFIX, hash_files, version_record
from tasks.registration.model_files import DOWNLOAD_MARK, verified_model
from tasks.registration.observing import observe_texts
from tasks.registration.packaging import check_logged
from tasks.registration.scoring import loaded_model, pin_version, score_texts
from tasks.registration.versions import find_version
from tests.registration.small_model import NAME, TEXTS, register_small_version, save_small_model

FAULT = "hostile model files"
LOADS = {
    "reprise predict": lambda: score_texts(find_version(NAME, "1").summary, TEXTS),
    "reprise score": lambda: loaded_model(pin_version(NAME, "1")),
    "the gate": lambda: load_version(find_version(NAME, "1")),
    "reprise monitor": lambda: observe_texts(NAME, "1", TEXTS),
    "reprise promote": lambda: prove_usable(NAME, "1", RegistrationConfig()),
}


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    return save_small_model(tmp_path_factory.mktemp("small-model"))


@pytest.fixture
def marker(tmp_path):
    """A file that hostile code makes as it runs."""
    return tmp_path / "hostile-code-ran"


@pytest.fixture
def evil_module(tmp_path, marker, monkeypatch):
    """The name of a module that can be imported here, and makes the marker."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "evil_module.py").write_text(f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n")
    monkeypatch.syspath_prepend(tmp_path / "modules")
    yield "evil_module"
    sys.modules.pop("evil_module", None)


@pytest.fixture
def store(small_model, embedded_mlflow):
    """The files, in the embedded store, of a version of a small network."""
    register_small_version(*small_model)
    return Path(mlflow.artifacts.download_artifacts(f"models:/{NAME}/1"))


def seal(store):
    """Make the version's record that of the files which are there now."""
    client = MlflowClient()
    (store / DOWNLOAD_MARK).unlink(missing_ok=True)
    for name in find_version(NAME, "1").tags:
        if name.startswith(FILE_PREFIX) or name == DIGEST_TAG:
            client.delete_model_version_tag(NAME, "1", name)
    for name, value in version_record(hash_files(store), {}).items():
        client.set_model_version_tag(NAME, "1", name, value)


def forget(store):
    client = MlflowClient()
    for name in find_version(NAME, "1").tags:
        if name.startswith(FILE_PREFIX) or name == DIGEST_TAG:
            client.delete_model_version_tag(NAME, "1", name)


def edit_mlmodel(store, **changes):
    tree = yaml.safe_load((store / "MLmodel").read_text())
    tree["flavors"]["python_function"].update(changes)
    (store / "MLmodel").write_text(yaml.safe_dump(tree))


def edit_network(store, change):
    """Change the configuration that a `.keras` file has of its layers."""
    path = store / "artifacts" / "model.keras"
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    config = json.loads(members["config.json"])
    change(config["config"]["layers"])
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


def pickle_instead(store, marker):
    class Evil(mlflow.pyfunc.PythonModel):
        def __reduce__(self):
            return Path.touch, (marker,)

        def predict(self, context, model_input, params=None):
            return model_input

    shutil.rmtree(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
        mlflow.pyfunc.save_model(str(store), python_model=Evil(), pip_requirements=[])
    marker.unlink(missing_ok=True)


def refusals(loads=LOADS):
    """Have each way to load the version refuse it in one line that names it, and return the lines."""
    lines = {}
    for way, load in loads.items():
        with pytest.raises(ModelMismatch) as refusal:
            load()
        lines[way] = str(refusal.value)
        assert "\n" not in lines[way]
        assert len(lines[way]) < 700
        assert "version 1" in lines[way]
    return lines


CODE = "import pathlib\npathlib.Path({!r}).touch()\n"


@pytest.mark.fault(FAULT)
@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda store, code: forget(store), "has no record of its files"),
        (lambda store, code: (store / "more.py").write_text(code), "'more.py' does not belong to it"),
        (lambda store, code: (store / "served_model.py").write_text(code), "'served_model.py' is changed"),
        (lambda store, code: (store / "artifacts" / "lstm.py").write_text(code), "'artifacts/lstm.py' is changed"),
        (lambda store, code: (store / "MLmodel").write_text("flavors: {}"), "'MLmodel' is changed"),
        (lambda store, code: (store / "out").symlink_to(Path(__file__).parent), "outside the artifact directory"),
        (lambda store, code: (store / "out").symlink_to("nowhere"), "No such file or directory"),
        (lambda store, code: edit_mlmodel(store, artifacts={"network": {"path": "../../evil"}}), "'MLmodel' is changed"),
        (lambda store, code: os.mkfifo(store / "artifacts" / "pipe"), "named pipe"),
    ],
)
def test_what_is_not_what_was_registered_is_loaded_by_nothing(store, marker, tries, change, line):
    change(store, CODE.format(str(marker)))
    tries(len(LOADS), 0)
    for way, load in LOADS.items():
        with pytest.raises((ModelMismatch, RegistryError)) as refusal:
            load()
        assert line in str(refusal.value), way
        assert "\n" not in str(refusal.value)
        assert NAME in str(refusal.value)
    assert not marker.exists()
    tries(len(LOADS), len(LOADS))


@pytest.mark.fault(FAULT)
@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda store: edit_mlmodel(store, loader_module="evil_module"), "names the loader 'evil_module'"),
        (lambda store: edit_mlmodel(store, code="artifacts"), "has code 'artifacts'"),
        (
            lambda store: edit_mlmodel(store, artifacts={"network": {"path": "../../evil.keras"}}),
            "leads out of it, to '../../evil.keras'",
        ),
        (lambda store: edit_mlmodel(store, artifacts={"lstm": {"path": "/tmp/evil.py"}}), "leads out of it, to '/tmp/evil.py'"),  # noqa: S108
        (lambda store: edit_mlmodel(store, env={"conda": "../conda.yaml"}), "leads out of it, to '../conda.yaml'"),
        (lambda store: edit_mlmodel(store, model_code_path="../evil.py"), "names a file that it has not, 'evil.py'"),
        (lambda store: (store / "MLmodel").write_text("flavors: {sklearn: {}}"), "its MLmodel is not one of this project"),
    ],
)
def test_a_sealed_mlmodel_that_asks_for_other_code_is_loaded_by_nothing(store, evil_module, marker, tries, change, line):
    change(store)
    seal(store)
    tries(len(LOADS), 0)
    for way, refusal in refusals().items():
        assert line in refusal, way
        assert refusal.startswith(f"version 1 of {NAME} is not what was registered: its MLmodel"), way
    assert not marker.exists()
    tries(len(LOADS), len(LOADS))


@pytest.mark.fault(FAULT)
def test_a_sealed_pickle_is_loaded_by_nothing_and_by_mlflow_neither(store, marker, monkeypatch, tries):
    pickle_instead(store, marker)
    tries(len(LOADS) + 1, 0)
    assert all("has no record" not in line and "is changed" in line for line in refusals().values())
    seal(store)
    for line in refusals().values():
        assert "its MLmodel has python_model 'python_model.pkl'" in line or "not one of this project" in line
    assert library_defaults()["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    with pytest.raises(mlflow.exceptions.MlflowException, match="using pickle is disallowed"):
        mlflow.pyfunc.load_model(f"models:/{NAME}/1")
    assert not marker.exists()
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    refusals()
    assert not marker.exists()
    with pytest.raises(AttributeError):
        mlflow.pyfunc.load_model(f"models:/{NAME}/1")
    assert marker.exists()  # so it would have run
    tries(len(LOADS) + 1, len(LOADS) + 1)


def make_lambda(store, marker):
    inputs = keras.Input((12,), dtype="int32")
    touch = keras.layers.Lambda(lambda x, marker=str(marker): __import__("pathlib").Path(marker).touch() or x)
    keras.Sequential([inputs, touch]).save(store / "artifacts" / "model.keras")
    marker.unlink(missing_ok=True)


def make_unknown(store, marker):
    def change(layers):
        layers[-1] |= {"module": "evil_module", "class_name": "Evil", "registered_name": "evil_module>Evil"}

    edit_network(store, change)


def make_function(store, marker):
    def change(layers):
        call = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
        layers[-1]["config"]["activation"] = call

    edit_network(store, change)


def make_download(store, marker):
    def change(layers):
        call = {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"}
        layers[-1]["config"]["activation"] = call

    edit_network(store, change)


def make_saved_model(store, marker):
    def change(layers):
        layers[-1] |= {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": str(marker.parent)}}

    edit_network(store, change)


def make_garbage(store, marker):
    (store / "artifacts" / "model.keras").write_bytes(b"PK\x03\x04" + bytes(1000))


@pytest.mark.fault(FAULT)
@pytest.mark.parametrize(
    ("change", "line"),
    [
        (make_lambda, "Lambda"),
        (make_unknown, "could not be deserialized"),
        (make_function, "could not be deserialized"),
        (make_download, "could not be deserialized"),
        (make_saved_model, "TFSMLayer"),
        (make_garbage, "Error"),
    ],
)
def test_nothing_in_a_sealed_network_runs(store, evil_module, marker, tries, change, line):
    change(store, marker)
    seal(store)
    # In a fresh process it is the same Keras, and takes seconds: once is enough.
    loads = LOADS if change is make_lambda else {way: load for way, load in LOADS.items() if way != "reprise promote"}
    tries(len(loads) + 1, 0)
    for way, refusal in refusals(loads).items():
        assert "cannot be used" in refusal, way
        assert line in refusal, way
    with pytest.raises(
        (TypeError, ValueError, OSError, zipfile.BadZipFile)
    ):  # whoever loads it with MLflow alone is refused by Keras as well
        mlflow.pyfunc.load_model(f"models:/{NAME}/1")
    assert not marker.exists()
    tries(len(loads) + 1, len(loads) + 1)


@pytest.mark.fault(FAULT)
def test_a_swapped_weight_file_is_named(store, tmp_path, tries):
    other, _ = save_small_model(tmp_path / "other", seed=1)
    shutil.copy(other.file("model.keras"), store / "artifacts" / "model.keras")
    for line in refusals().values():
        assert line == f"version 1 of {NAME} is not what was registered: 'artifacts/model.keras' is changed"
    tries(len(LOADS), len(LOADS))


@pytest.mark.fault(FAULT)
@pytest.mark.parametrize("name", ["artifacts/model.keras", "artifacts/lstm.py", "artifacts/vocabulary.json", "served_model.py"])
def test_a_file_that_is_swapped_before_its_version_is_registered_is_noticed(store, small_model, name):
    check_logged(store, *small_model)
    (store / name).write_bytes((store / name).read_bytes() + b"\n")
    with pytest.raises(ModelMismatch, match=f"^{name} of the logged model is not what was logged"):
        check_logged(store, *small_model)


@pytest.mark.fault(FAULT)
@pytest.mark.parametrize("path", ["../../../hostile-code-ran", "%2e%2e/%2e%2e/%2e%2e/hostile-code-ran", "{}"])
def test_a_server_that_names_files_outside_is_not_followed(store, marker, path):
    """The version's files lie at a server that lists what would be written over a file of ours."""
    listed = json.dumps({"files": [{"path": path.format(marker), "is_dir": False, "file_size": 4}]}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(listed if "path=" in self.path or self.path.endswith("artifacts") else b"evil")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = MlflowClient()
        url = f"http://127.0.0.1:{server.server_address[1]}/api/2.0/mlflow-artifacts/artifacts"
        made = client.create_model_version(NAME, source=url, tags=dict(find_version(NAME, "1").tags))
        with pytest.raises((ModelMismatch, RegistryError)) as refusal, verified_model(NAME, str(made.version)):
            pass
        server.shutdown()
    assert "\n" not in str(refusal.value)
    assert f"{NAME}/2" in str(refusal.value) or f"version 2 of {NAME}" in str(refusal.value)
    assert not marker.exists()


@pytest.mark.fault(FAULT)
@pytest.mark.parametrize(
    "line",
    ["--index-url http://127.0.0.1:9/simple", "evil @ file:///tmp/evil", "-e .", "./evil", "-r /etc/passwd", "git+https://x/y"],
)
def test_a_model_has_no_packages_installed_from_where_it_likes(tmp_path, line):
    (tmp_path / "requirements.txt").write_text(f"numpy\n{line}\n")
    with pytest.raises(ModelMismatch, match=r"is not installed: .* is no package with a version"):
        python_for(tmp_path / "requirements.txt")
    assert not (tmp_path / "reprise-home" / "environments").exists()
