"""The record of a model's files, and that nothing else is ever loaded."""

import os
import py_compile
import shutil
from pathlib import Path

import mlflow
import pytest
import yaml
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_model_version_tag

from tasks.errors import ModelMismatch, RegistryError
from tasks.registration.manifest import (
    check_files,
    check_mlmodel,
    hash_files,
    manifest_digest,
    manifest_tags,
    read_manifest,
    version_record,
)
from tasks.registration.model_files import verified_model
from tasks.registration.scoring import score_texts
from tests.benchmarks.tamper import tamper
from tests.registration.small_model import TEXTS, save_small_model

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def folder(tmp_path):
    for name in ("b.txt", "a/c.txt", "a/B.txt"):
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).touch()
    return tmp_path / "model"


def test_every_file_is_hashed_in_the_order_of_the_paths(folder):
    assert list(hash_files(folder).items()) == [("a/B.txt", EMPTY), ("a/c.txt", EMPTY), ("b.txt", EMPTY)]


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("b.txt"), lambda path: path.symlink_to("a"), os.mkfifo])
def test_what_is_no_plain_file_is_refused(folder, make):
    make(folder / "odd")
    with pytest.raises(ModelMismatch, match=r"'odd' in .* is no plain file"):
        hash_files(folder)


def test_the_digest_follows_from_names_and_contents_alone(folder):
    manifest = hash_files(folder)
    assert manifest_digest(dict(reversed(manifest.items()))) == manifest_digest(manifest)
    others = [{**manifest, "b.txt": "0" * 64}, {**manifest, "d.txt": EMPTY}, {"a/B.txt": EMPTY, "a/c.txt": EMPTY}, {}]
    assert len({manifest_digest(other) for other in [manifest, *others]}) == 5


def test_a_manifest_is_read_back_from_among_other_tags(folder):
    manifest = hash_files(folder)
    tags = {"dataset": "imdb", **version_record(manifest, {"reviews": "1" * 64})}
    assert read_manifest(tags) == manifest
    assert tags["data.reviews"] == "1" * 64
    assert read_manifest({"dataset": "imdb"}) == {}


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("a b/ü_-.:1", True),
        ("x" * 245, True),
        ("x" * 246, False),
        ("a,b", False),
        ("a+b", False),
        ("é%", False),
    ],
)
def test_a_name_that_no_tag_can_have_is_refused_as_mlflow_would(name, taken):
    if taken:
        (key,) = manifest_tags({name: EMPTY})
        _validate_model_version_tag(key, EMPTY)
        return
    with pytest.raises(ModelMismatch, match="cannot be recorded in a tag"):
        manifest_tags({name: EMPTY})
    with pytest.raises(MlflowException):
        _validate_model_version_tag(f"file.{name}", EMPTY)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda folder: (folder / "b.txt").write_text("b"), "'b.txt' is changed"),
        (lambda folder: (folder / "b.txt").unlink(), "'b.txt' is missing"),
        (lambda folder: (folder / "a" / "0").touch(), "'a/0' does not belong to it"),
        (lambda folder: shutil.rmtree(folder / "a"), "'a/B.txt' is missing, and 1 more differ"),
    ],
)
def test_the_first_file_that_differs_is_named(folder, change, line):
    expected = hash_files(folder)
    check_files(folder, expected)
    change(folder)
    with pytest.raises(ModelMismatch) as refusal:
        check_files(folder, expected)
    assert str(refusal.value) == line


MLMODEL = """
flavors:
  python_function:
    artifacts: {network: {path: a/c.txt, uri: /home/somebody/c.txt}}
    code: null
    env: {conda: b.txt}
    loader_module: mlflow.pyfunc.loaders.code_model
    model_code_path: /home/somebody/b.txt
"""


@pytest.mark.fault("hostile model files")
@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"artifacts": {"network": {"path": "../b.txt"}}}, "leads out of it, to '../b.txt'"),
        ({"artifacts": {"network": {"path": "a/../../b.txt"}}}, "leads out of it, to 'a/../../b.txt'"),
        ({"artifacts": {"network": {"path": "/etc/hosts"}}}, "leads out of it, to '/etc/hosts'"),
        ({"artifacts": {"network": {"path": "a/d.txt"}}}, "names a file that it has not, 'a/d.txt'"),
        ({"artifacts": {"network": {"path": 3}}}, "leads out of it, to 3"),
        ({"artifacts": ["a/c.txt"]}, "is not one of this project: AttributeError"),
        ({"env": {"conda": "../b.txt"}}, "leads out of it, to '../b.txt'"),
        ({"env": {"virtualenv": "/etc/hosts"}}, "leads out of it, to '/etc/hosts'"),
        ({"code": ".."}, "has code '..': only code in a file is loaded"),
        ({"code": "a"}, "has code 'a': only code in a file is loaded"),
        ({"data": "/data"}, "has data '/data': only code in a file is loaded"),
        ({"python_model": "b.txt"}, "has python_model 'b.txt': only code in a file is loaded"),
        ({"loader_module": "mlflow.sklearn"}, "names the loader 'mlflow.sklearn'"),
        ({"loader_module": None}, "names the loader None"),
        ({"model_code_path": ".."}, "leads out of it, to '..'"),
        ({"model_code_path": "/home/somebody/d.txt"}, "names a file that it has not, 'd.txt'"),
        ({"model_code_path": None}, "is not one of this project: TypeError"),
    ],
)
def test_an_mlmodel_that_asks_for_anything_else_is_refused(folder, change, line):
    (folder / "MLmodel").write_text(MLMODEL)
    check_mlmodel(folder)
    tree = yaml.safe_load(MLMODEL)
    tree["flavors"]["python_function"].update(change)
    (folder / "MLmodel").write_text(yaml.safe_dump(tree))
    with pytest.raises(ModelMismatch) as refusal:
        check_mlmodel(folder)
    assert str(refusal.value).startswith(f"its MLmodel {line}")


@pytest.mark.fault("hostile model files")
@pytest.mark.parametrize(
    "text", ["", "flavors: {sklearn: {}}", "flavors: 3", "a: &a [*a]", "flavors: !!python/name:os.system ", "x" * 300_000]
)
def test_what_is_no_mlmodel_is_refused_in_one_line(folder, text):
    (folder / "MLmodel").write_text(text)
    with pytest.raises(ModelMismatch, match=r"^its MLmodel is not one of this project: [^\n]{1,600}\Z"):
        check_mlmodel(folder)


@pytest.mark.fault("hostile model files")
def test_a_version_that_was_tampered_with_is_refused_whatever_was_done(small_version, tmp_path, tries):
    other, _ = save_small_model(tmp_path / "other", seed=1)
    measured = tamper(small_version, other.file("model.keras"))
    tries(measured["ways"], measured["refused"])
    assert measured["loaded"] == []
    assert measured["refused"] == measured["ways"] > 50
    assert not measured["code_ran"]
    assert measured["untouched_loads"]
    assert "'artifacts/model.keras' is changed" in measured["lines"]["another network"]


@pytest.mark.fault("hostile model files")
def test_compiled_code_beside_the_source_is_not_run(small_version, tmp_path, monkeypatch):
    store = Path(mlflow.artifacts.download_artifacts(f"models:/{small_version.name}/{small_version.version}"))
    source, ran = store / "artifacts" / "lstm.py", tmp_path / "ran"
    forged = tmp_path / "lstm.py"
    forged.write_text(f"import pathlib; pathlib.Path({str(ran)!r}).touch(); pathlib.lines = 1\n{source.read_text()}")
    compiled = Path(py_compile.compile(str(forged), str(source.parent / "__pycache__" / "lstm.cpython-311.pyc"), doraise=True))
    status = source.stat()  # Python takes compiled code for that of a source of this time and size
    content = compiled.read_bytes()
    stamp = int(status.st_mtime).to_bytes(4, "little") + status.st_size.to_bytes(4, "little")
    compiled.write_bytes(content[:8] + stamp + content[16:])

    score_texts(small_version, TEXTS)
    assert not ran.exists()
    mlflow.pyfunc.load_model(str(store))
    assert ran.exists()


def test_the_copy_is_private_and_does_not_stay(small_version):
    with verified_model(small_version.name, small_version.version) as folder:
        assert folder.stat().st_mode & 0o077 == 0
        assert "served_model.py" in hash_files(folder)
    assert not folder.exists()


def test_a_version_whose_files_are_gone_is_named(small_version):
    shutil.rmtree(mlflow.artifacts.download_artifacts(f"models:/{small_version.name}/{small_version.version}"))
    with pytest.raises(ModelMismatch, match="the files of models:/small-lstm/1 are gone"):
        score_texts(small_version, TEXTS)


def test_no_registry_is_no_version(small_version, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryError, match=r"127\.0\.0\.1:9 failed"):
        score_texts(small_version, TEXTS)
