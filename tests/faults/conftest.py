import os
import shutil
import subprocess
import sys

import mlflow
import pytest
import yaml


class Workplace:
    """A folder with an MLflow store of its own, in which the command runs in processes of its own.

    `environment` is what they are given; a test changes it as it likes. `store` is a client of the embedded store.
    """

    def __init__(self, folder, environment, configure):
        self.folder = folder
        self.environment = environment
        self.store = mlflow.MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
        self._configure = configure

    def write_config(self, *assignments, name="fault.yaml", **keys):
        """Write the configuration of a training on 900 real reviews that takes seconds, and return its path."""
        path = self.folder / name
        path.write_text(yaml.safe_dump(self._configure(*assignments, **keys).model_dump(mode="json")))
        return path

    def start(self, *arguments, **options):
        """Start the command; its two outputs are pipes."""
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *map(str, arguments)],
            **{"cwd": self.folder, "env": self.environment, "text": True, "stdin": subprocess.DEVNULL, **options},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments, code=0, **options):
        """Run the command to its end and return its two outputs.

        It must exit with `code`, never with a traceback, and tell an error in one line.
        """
        process = self.start(*arguments, **options)
        output, errors = process.communicate(timeout=300)
        assert process.returncode == code, errors
        assert "Traceback" not in errors
        if code in (1, 2):
            assert len([line for line in errors.splitlines() if line.startswith("error: ")]) == 1, errors
        return output, errors


@pytest.fixture
def workplace(tmp_path, migrated_store, prefect_server, configure):
    """A new workplace, whose runs are kept by the session's real Prefect server."""
    folder = tmp_path / "workplace"
    (folder / "mlruns").mkdir(parents=True)
    shutil.copy(migrated_store, folder / "mlruns" / "mlflow.db")
    environment = {**os.environ, "PREFECT_API_URL": prefect_server, "REPRISE_HOME": str(folder / ".reprise"), "COLUMNS": "200"}
    return Workplace(folder, environment, configure)
