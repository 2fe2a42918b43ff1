import time

import mlflow
import numpy as np
import psutil
import pytest

from tasks.errors import ModelMismatch
from tasks.registration.load_check import FreshProcess, compare_scores

MODEL = """
import os, subprocess, sys, time
from types import SimpleNamespace
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

class Model(PythonModel):
    def predict(self, context, model_input, params=None):
        BODY
        return [SimpleNamespace(probability=len(text) / 8) for text in model_input]

set_model(Model())
"""
EATER = "subprocess.run([sys.executable, '-c', 'import time; full = bytes(2**30).replace(bytes(1), b\"x\"); time.sleep(600)'])"


@pytest.fixture
def save_model(tmp_path):
    def save_model(body):
        (tmp_path / "code.py").write_text(MODEL.replace("BODY", body))
        mlflow.pyfunc.save_model(str(tmp_path / "model"), python_model=str(tmp_path / "code.py"), pip_requirements=[])
        return tmp_path / "model"

    return save_model


@pytest.fixture
def fresh():
    with FreshProcess(modules=("mlflow",)) as fresh:
        yield fresh


def test_equal_scores_pass_with_their_largest_difference():
    assert compare_scores(np.array([0.5, 0.25]), np.array([0.5, 0.25 + 1e-7]), 1e-6) == pytest.approx(1e-7)


@pytest.mark.parametrize("found", [[0.5, 0.26], [0.5], [0.5, np.nan]])
def test_other_scores_are_refused(found):
    with pytest.raises(ModelMismatch):
        compare_scores(np.array([0.5, 0.25]), np.array(found), 1e-6)


def test_a_model_that_cannot_be_loaded_is_refused_in_one_line(tmp_path, fresh):
    with pytest.raises(ModelMismatch, match=r"cannot be used in a fresh process: .*MLmodel") as refusal:
        fresh.score(tmp_path, ["a film"], seconds=300, mebibytes=4096)
    assert "\n" not in str(refusal.value)


def test_a_process_that_ended_before_it_was_asked_is_told_of(tmp_path):
    with FreshProcess(modules=("no_such_module",)) as fresh:
        fresh._process.wait()
        with pytest.raises(ModelMismatch, match="No module named 'no_such_module'"):
            fresh.score(tmp_path, ["a film"], seconds=300, mebibytes=4096)


def test_what_a_model_prints_is_not_taken_for_its_answer(save_model, fresh):
    rubbish = """print('{"probabilities": [9]}'); os.write(1, b'\\xff\\n[' * 99999); print("rubbish", file=sys.stderr)"""
    found = fresh.score(save_model(rubbish), ["film", "a film"], seconds=300, mebibytes=4096)
    assert found.probabilities.tolist() == [0.5, 0.75]
    assert found.load_seconds > 0
    assert found.predict_seconds > 0
    assert 50 < found.peak_mebibytes < 4096


def test_more_texts_than_a_pipe_holds_are_scored(save_model, fresh):
    assert len(fresh.score(save_model("pass"), ["film " * 1000] * 200, seconds=300, mebibytes=4096).probabilities) == 200


def test_a_model_that_does_not_answer_in_time_is_ended(save_model, fresh):
    model, child = save_model("time.sleep(600)"), fresh._process.pid
    time.sleep(0.5)
    asked = time.monotonic()
    with pytest.raises(ModelMismatch, match="did not answer within 2 s in a fresh process"):
        fresh.score(model, ["a film"], seconds=2, mebibytes=4096)
    assert time.monotonic() - asked >= 2  # so the time that it waited to be asked does not count
    assert not psutil.pid_exists(child)


@pytest.mark.parametrize("body", [EATER, "bytes(2**30).replace(bytes(1), b'x')"], ids=["in a child", "for a moment"])
def test_a_model_that_takes_too_much_memory_is_refused(save_model, fresh, body):
    with pytest.raises(ModelMismatch, match=r"took [\d,]+ MiB of memory in a fresh process \(allowed 600 MiB\)") as refusal:
        fresh.score(save_model(body), ["a film"], seconds=300, mebibytes=600)
    assert int(str(refusal.value).split()[3].replace(",", "")) > 600


def test_a_process_that_is_not_asked_is_ended():
    with FreshProcess(modules=()) as fresh:
        child, folder = fresh._process.pid, fresh._folder
    assert not psutil.pid_exists(child)
    assert not folder.exists()
