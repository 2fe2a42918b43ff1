"""The main job on the whole of the real IMDB reviews, for one epoch."""

import json
import os
import subprocess
import sys


def test_one_epoch_on_the_real_imdb(real_imdb, tmp_path):
    arguments = ["--config", "imdb", "--data", real_imdb / "imdb.npz", "--set", "training.epochs=1", "--report", "run.json"]
    run = subprocess.run(
        [sys.executable, "-m", "flows.cli", "train", *arguments],
        cwd=tmp_path,
        env={**os.environ, "REPRISE_HOME": str(tmp_path / ".reprise")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads((tmp_path / "run.json").read_text())
    assert report["parameters"] == 76_051
    assert report["dataset"]["rows"] == {"train": 20_000, "validation": 5_000, "test": 25_000}
    assert (report["model"], report["version"], report["config"]["training"]["epochs"]) == ("imdb-lstm", "1", 1)
    assert report["test"]["accuracy"] > 0.65
    assert "Total params: 76,051" in run.stdout
