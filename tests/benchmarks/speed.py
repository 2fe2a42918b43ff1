"""How fast Reprise trains, scores and retrains, as ratios to what others need in the same minutes on the same machine.

python -m tests.benchmarks.speed --data imdb.npz [--rounds 5] [--parts kernels whole accuracy] [--notebook SCRIPT] [--json FILE]

`kernels`: an epoch of `configs/imdb.yaml` and the scoring of its test reviews, by Reprise, Keras on TensorFlow, Keras on JAX
and PyTorch; each in a process of its own that waits while the others work, in turns. `whole`: `reprise train` from a cold
process to the registered version, in turns with the notebook as a script; and a rerun with another seed. `accuracy`: test
accuracy over five seeds by Reprise and by Keras.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
ENVIRONMENTS = Path(".bench").absolute()
PACKAGES = {"jax": ["jax==0.10.2", "keras==3.15.1", "numpy==2.4.6"], "torch": ["torch==2.14.1", "numpy==2.4.6"]}
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3"}
out = Console(highlight=False)

Seconds = dict[str, list[float]]


def main() -> None:
    """Run the parts asked for, print a table of ratios, and write all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared/data/imdb/imdb.npz")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--notebook", type=Path, default=HERE / "notebook.py")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not arguments.data.is_file():
        parser.error(f"no such file: {arguments.data}")
    figures: dict[str, Any] = {"machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"}
    table = Table("measure", "Reprise", "other", "ratio", title="Medians; ratio: other / Reprise", title_justify="left")
    with tempfile.TemporaryDirectory() as scratch:
        for part in arguments.parts:
            figures[part] = PARTS[part](arguments, Path(scratch), table)
            if arguments.json:
                arguments.json.write_text(json.dumps(figures, indent=1))
    out.print(table)


def measure_kernels(arguments: argparse.Namespace, scratch: Path, table: Table) -> dict[str, Seconds]:
    """Time an epoch and a prediction of each contender, in turns."""
    folder = pad_imdb(arguments.data, scratch)
    contenders = {
        "Reprise": ([sys.executable, HERE / "contender_reprise.py"], {"PYTHONPATH": str(HERE.parents[1])}),
        "Keras on TensorFlow": ([sys.executable, HERE / "contender_keras.py"], {"KERAS_BACKEND": "tensorflow"}),
        "Keras on JAX": ([environment_python("jax"), HERE / "contender_keras.py"], {"KERAS_BACKEND": "jax"}),
        "PyTorch": ([environment_python("torch"), HERE / "contender_torch.py"], {}),
    }
    seconds: dict[str, Seconds] = {job: {name: [] for name in contenders} for job in ("epoch", "predict")}
    with ExitStack() as stack:
        asks = {}
        for name, (command, variables) in contenders.items():
            out.print(f"{name} warms up ...")
            asks[name] = stack.enter_context(contender([*command, folder], variables))
        for number in range(arguments.rounds):
            for job, by_name in seconds.items():
                for name, ask in asks.items():
                    by_name[name].append(ask(job))
            told = ", ".join(f"{name} {times[-1]:.2f}" for name, times in seconds["epoch"].items())
            out.print(f"round {number + 1}: an epoch in {told} s")
    for job, by_name in seconds.items():
        ours, *others = by_name
        for other in others:
            add_row(table, f"{job}, {other}", by_name[ours], by_name[other])
    return seconds


def measure_whole(arguments: argparse.Namespace, scratch: Path, table: Table) -> dict[str, Any]:
    """Time whole trainings from a cold process, in turns with the notebook, and then a rerun with another seed.

    The first, in an empty folder, also makes the databases of MLflow and Prefect. Those in turns with the notebook find them,
    as a retraining does, but reuse no stage.
    """
    workspace = scratch / "whole"
    first = clock(lambda: train(arguments.data, workspace))
    out.print(f"reprise train in an empty folder {first:.1f} s")
    ours: list[float] = []
    others: list[float] = []
    for number in range(max(arguments.rounds // 2, 1)):
        ours.append(clock(lambda: train(arguments.data, workspace, force=True)))
        others.append(clock(lambda: run([sys.executable, arguments.notebook, arguments.data])))
        out.print(f"round {number + 1}: reprise train {ours[-1]:.1f} s, the notebook {others[-1]:.1f} s")
    whole = json.loads((workspace / "report.json").read_text())
    again = train(arguments.data, workspace, "training.seed=1")
    before = sum(again["seconds"][stage] for stage in again["reused"])
    add_row(table, "whole training, the notebook", ours, others)
    add_row(table, "the same in an empty folder", [first], others)
    table.add_row("rerun with another seed: stages before training", f"{before:.2f} s", "", f"reused: {len(again['reused'])}")
    return {
        "reprise": ours,
        "notebook": others,
        "empty_folder": first,
        "stages": whole["seconds"],
        "rerun": again["seconds"],
        "reused": again["reused"],
    }


def measure_accuracy(arguments: argparse.Namespace, scratch: Path, table: Table) -> dict[str, list[float]]:
    """Train with seeds 0 to 4 by Reprise and by the notebook, and compare the means of test accuracy."""
    ours, others = [], []
    whole_test = "evaluation.audit_fraction=0.0"  # as the notebook, which seals no rows
    for seed in range(5):
        ours.append(train(arguments.data, scratch / "accuracy", f"training.seed={seed}", whole_test)["test"]["accuracy"])
        told = run([sys.executable, arguments.notebook, arguments.data, "--seed", seed])
        others.append(json.loads(told.splitlines()[-1])["test_accuracy"])
        out.print(f"seed {seed}: reprise {ours[-1]:.4f}, Keras {others[-1]:.4f}")
    means = statistics.mean(ours), statistics.mean(others)
    difference = f"{100 * (means[0] - means[1]):+.2f} points"
    table.add_row("test accuracy, mean of 5 seeds, Keras", f"{means[0]:.4f}", f"{means[1]:.4f}", difference)
    return {"reprise": ours, "keras": others}


PARTS: dict[str, Callable[[argparse.Namespace, Path, Table], dict[str, Any]]] = {
    "kernels": measure_kernels,
    "whole": measure_whole,
    "accuracy": measure_accuracy,
}


def pad_imdb(npz: Path, scratch: Path) -> Path:
    """Return a folder of the padded arrays of `configs/imdb.yaml`."""
    train(npz, scratch / "padding", "training.epochs=1")
    return next((scratch / "padding/.reprise/stages/padding").glob("[!.]*"))  # beside it lies a lock file


def train(npz: Path, workspace: Path, *assignments: str, force: bool = False) -> dict[str, Any]:
    """Run `reprise train` in a working folder of its own and return its report."""
    workspace.mkdir(exist_ok=True)
    settings = [word for assignment in ("training.verbosity=0", *assignments) for word in ("--set", assignment)]
    command = ["train", "--config", "imdb", "--data", npz.absolute(), "--report", "report.json", *settings]
    command += ["--force"] if force else []
    run([sys.executable, "-m", "flows.cli", *command], workspace, REPRISE_HOME=str(workspace / ".reprise"))
    report: dict[str, Any] = json.loads((workspace / "report.json").read_text())
    return report


def run(command: list[Any], folder: Path | None = None, **variables: str) -> str:
    """Run a command to its end and return what it printed."""
    environment = {**os.environ, **QUIET, "PYTHONPATH": str(HERE.parents[1]), **variables}
    done = subprocess.run(list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def clock(job: Callable[[], object]) -> float:
    """Return the wall seconds of a job."""
    start = os.times().elapsed
    job()
    return os.times().elapsed - start


@contextmanager
def contender(command: list[Any], variables: dict[str, str]) -> Iterator[Callable[[str], float]]:
    """Start a contender, wait until it is warm, and yield what asks it for a job's seconds."""
    environment = {**os.environ, **QUIET, **variables}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(list(map(str, command)), env=environment, text=True, **pipes)
    if not process.stdout.readline():
        raise RuntimeError(f"{command} failed:\n{process.stderr.read()[-3000:]}")

    def ask(job: str) -> float:
        print(job, file=process.stdin, flush=True)
        return float(process.stdout.readline())

    try:
        yield ask
    finally:
        process.kill()
        process.communicate()


def environment_python(name: str) -> Path:
    """Return the interpreter of an environment with another framework, which is made if it is not there."""
    folder = ENVIRONMENTS / name
    marker = folder / "installed"
    if not marker.exists():
        out.print(f"installing {' '.join(PACKAGES[name])} in {folder} ...")
        venv.create(folder, with_pip=True, clear=True)
        run([folder / "bin/python", "-m", "pip", "install", "--quiet", *PACKAGES[name]])
        marker.touch()
    return folder / "bin/python"


def add_row(table: Table, measure: str, ours: list[float], others: list[float]) -> None:
    """Add the medians of two series of seconds and their ratio."""
    mine, other = statistics.median(ours), statistics.median(others)
    table.add_row(measure, f"{mine:.2f} s", f"{other:.2f} s", f"{other / mine:.2f}")


if __name__ == "__main__":
    main()
