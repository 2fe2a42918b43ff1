import os
from pathlib import Path

import pytest

from configs.environment import set_library_defaults

DATA = Path(os.environ.get("REPRISE_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared/data/imdb")


def pytest_configure(config):
    """Tests keep to a workspace of their own, and ask no server that the user's environment names."""
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "REPRISE_HOME", "PREFECT_HOME"):
        os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def _workspace_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRISE_HOME", str(tmp_path / "reprise-home"))


@pytest.fixture(scope="session", autouse=True)
def _quiet_libraries(tmp_path_factory):
    set_library_defaults(tmp_path_factory.mktemp("libraries"))


@pytest.fixture(scope="session")
def real_imdb():
    """The folder of the real imdb.npz, its word index, and the raw texts as train.parquet and test.parquet."""
    if not (DATA / "imdb.npz").is_file():
        pytest.skip(f"no real IMDB in {DATA} (REPRISE_TEST_DATA names another folder)")
    return DATA
