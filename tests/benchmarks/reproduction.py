"""Whether versions can be built again bit for bit, and what determinism costs.

`reprise train` registers versions of different configurations in one empty store, and `reprise reproduce` builds each again;
every command is a fresh process. For the cost, an epoch of `configs/imdb.yaml` runs with `training.deterministic` true and
false, each in a process of its own that waits while the other works, in turns.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.benchmarks.speed import HERE, QUIET, contender, out, pad_imdb

SAMPLE, IMDB = ["--config", "sample"], ["--config", "imdb", "--data"]
POST = ["padding.padding=post", "padding.truncating=post", "model.mask_padding=true"]
FITTED = ["padding.vocabulary=fitted", "padding.vocabulary_size=2000", "padding.maxlen=120"]
VERSIONS: dict[str, tuple[list[str], list[str]]] = {
    "IMDB, the preset, 2 epochs": (IMDB, ["training.epochs=2"]),
    "IMDB, seed 7, masked post-padding, 1 epoch": (IMDB, ["training.epochs=1", "training.seed=7", *POST]),
    "IMDB, plain batches, 1 shard, 1 epoch": (IMDB, ["training.epochs=1", "training.bucketing=false", "training.shards=1"]),
    "IMDB, fitted vocabulary, 3 shards, 1 epoch": (IMDB, ["training.epochs=1", "training.shards=3", *FITTED]),
    "sample, the preset": (SAMPLE, []),
    "sample, early stopping, best weights": (
        SAMPLE,
        ["training.epochs=30", "training.early_stopping={patience: 1}", "training.restore_best_weights=true"],
    ),
    "sample, eager, not deterministic": (
        SAMPLE,
        ["training.epochs=2", "training.compiled=false", "training.deterministic=false", "training.seed=3"],
    ),
}


def measure_versions(arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], Table]:
    """Train every version, then build each again."""
    folder = Path.cwd()
    trained: list[tuple[str, float, dict[str, Any]]] = []
    for title, (source, assignments) in VERSIONS.items():
        data = [arguments.data] if source is IMDB else []
        settings = [word for assignment in (*assignments, "training.verbosity=0") for word in ("--set", assignment)]
        _, seconds = reprise(folder, "train", "--report", "report.json", *source, *data, *settings)
        trained.append((title, seconds, json.loads((folder / "report.json").read_text())))
        out.print(f"trained in {seconds:.0f} s: {title}")
    measured = []
    for title, train_seconds, report in trained:
        told, seconds = reprise(folder, "reproduce", report["version"], "--model", report["model"], "--json")
        answer = json.loads(told.splitlines()[-1])
        if answer["expected_sha256"] != report["weights_sha256"]:
            raise RuntimeError(f"{title}: the version does not name the weights that its training reported")
        measured.append({"title": title, "train_seconds": train_seconds, "seconds": seconds, **answer})
        out.print(f"{'identical' if answer['identical'] else answer['differs']}: {title}")
    identical = sum(row["identical"] for row in measured)
    different_weights = len({row["expected_sha256"] for row in measured})
    title = f"{identical} of {len(measured)} versions identical; {different_weights} different sets of weights"
    table = Table("version", "train s", "reproduce s", "weights", "answer", title=title, title_justify="left")
    for row in measured:
        answer = "identical" if row["identical"] else row["differs"]
        table.add_row(row["title"], f"{row['train_seconds']:.0f}", f"{row['seconds']:.0f}", row["expected_sha256"][:12], answer)
    return measured, table


def measure_determinism(arguments: argparse.Namespace) -> tuple[dict[str, Any], Table]:
    """Time an epoch with and without determinism, in turns."""
    folder = pad_imdb(arguments.data, Path.cwd())
    seconds: dict[str, list[float]] = {"true": [], "false": []}
    with ExitStack() as stack:
        asks = {
            value: stack.enter_context(
                contender(
                    [sys.executable, HERE / "contender_reprise.py", folder, f"training.deterministic={value}"],
                    {"PYTHONPATH": str(HERE.parents[1])},
                )
            )
            for value in seconds
        }
        for number in range(arguments.turns):
            # The first of a round by turns, so that neither always follows the other.
            for value in sorted(asks, reverse=number % 2 == 0):
                seconds[value].append(asks[value]("epoch"))
    medians = {value: statistics.median(times) for value, times in seconds.items()}
    ratio = medians["true"] / medians["false"]
    title = f"An epoch takes {ratio:.3f} times as long with determinism, by the medians of {arguments.turns} turns"
    table = Table("training.deterministic", "median s", "least", "most", title=title, title_justify="left")
    for value, times in seconds.items():
        table.add_row(value, f"{medians[value]:.3f}", f"{min(times):.3f}", f"{max(times):.3f}")
    return {"seconds": seconds, "ratio": ratio}, table


def reprise(folder: Path, *words: Any) -> tuple[str, float]:
    """Run the command in a process of its own; return what it printed, and its seconds.

    Raises:
        RuntimeError: it failed; to find a difference is not to fail.
    """
    command = [sys.executable, "-m", "flows.cli", *map(str, words)]
    variables = {**QUIET, "PYTHONPATH": str(HERE.parents[1]), "REPRISE_HOME": str(folder / ".reprise")}
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    if done.returncode and not (words[0] == "reproduce" and done.returncode == 1 and done.stdout):
        raise RuntimeError(f"{command} failed:\n{done.stderr[-3000:]}")
    return done.stdout, time.perf_counter() - start
