import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.errors import ModelMismatch
from tasks.registration.environments import python_for, unmet
from tasks.registration.load_check import score_afresh
from tasks.registration.packaging import pinned_requirements
from tasks.workspace import home

NUMPY = importlib.metadata.version("numpy")


@pytest.fixture
def requirements(tmp_path):
    def requirements(*lines):
        (tmp_path / "requirements.txt").write_text("\n".join(lines))
        return tmp_path / "requirements.txt"

    return requirements


@pytest.mark.parametrize(
    "line",
    [
        f"numpy=={NUMPY}",
        f"NumPy == {NUMPY}  # as trained",
        "",
        "# nothing",
        "numpy",
        "numpy>=1,<99",
        "none==1; python_version < '3'",
    ],
)
def test_what_is_installed_here_is_met(line):
    assert unmet(f"packaging\n{line}\n") is None


@pytest.mark.parametrize(
    "line", ["numpy==1.0", "numpy<1", "no-such-package", "numpy @ file:///numpy.whl", "-r more.txt", "--pre", "numpy=1"]
)
def test_what_is_not_known_to_be_here_is_not(line):
    assert unmet(f"packaging\n{line}\n") == line


def test_our_own_pins_need_no_environment(requirements):
    assert python_for(requirements(*pinned_requirements())) == Path(sys.executable)
    assert not home().exists()


def test_other_pins_have_an_environment_of_their_own_once(requirements):
    pins = requirements("typing_extensions==4.12.2")
    python = python_for(pins)
    show = "import importlib.metadata as m; print(m.version('typing_extensions'))"
    assert subprocess.run([python, "-I", "-c", show], capture_output=True, text=True, check=True).stdout == "4.12.2\n"
    made = python.lstat().st_ino
    # The check of a model runs there, and this environment lacks what any model needs.
    with pytest.raises(ModelMismatch, match="No module named 'mlflow'"):
        score_afresh(pins.parent, ["a film"], seconds=300, mebibytes=4096)
    assert python.lstat().st_ino == made
    assert [path.name for path in (home() / "environments").iterdir() if not path.name.endswith(".lock")] == [
        python.parents[1].name
    ]


def test_a_pin_that_cannot_be_installed_is_named_in_one_line(requirements):
    with pytest.raises(ModelMismatch, match=r"cannot be installed: .*typing_extensions==0.0.99") as refusal:
        python_for(requirements("typing_extensions==0.0.99"))
    assert "\n" not in str(refusal.value)
    assert not any(path.is_dir() and not path.name.startswith(".") for path in (home() / "environments").iterdir())


def test_a_model_without_pins_is_refused(tmp_path):
    with pytest.raises(ModelMismatch, match="it has no requirements"):
        python_for(tmp_path / "requirements.txt")
