"""How much sooner a sweep of the notebook's model is done with two Dask workers than with one.

python -m tests.benchmarks.sweep --data imdb.npz [--trials 8] [--epochs 5] [--rounds 1] [--runner dask] [--json FILE]

Each measurement is a new study of trials on the real IMDB, `configs/imdb.yaml` with another learning rate each, none pruned;
in turns with one worker and with two, in one process. The seconds are those from the first submission to the last figure:
the cluster's start, the import of TensorFlow in each worker, training with its epochs' records in MLflow and the study, and the
cluster's end. Ingestion, validation and padding, which are done once before, and the winner's training, registration and
gate, which come once after, are left out: no number of workers changes them. A trial has one TensorFlow thread with either
number of workers (`--threads 1`); with `--threads 0` it has what a sweep gives it by itself, the cores divided by the workers,
so that the only worker has all.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from configs.loading import check_config, check_section, override, read_config
from configs.sweep import SweepConfig
from tests.benchmarks.workplace import working_apart

DATA = Path(__file__).parents[3] / "shared/data/imdb/imdb.npz"
out = Console(highlight=False)


def main() -> None:
    """Measure, in turns, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runner", choices=["threads", "processes", "dask", "ray"], default="dask")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not arguments.data.is_file():
        parser.error(f"no such file: {arguments.data}")
    path = arguments.data.absolute()
    with working_apart():
        measured = measure(arguments, path)
    if arguments.json:
        arguments.json.write_text(json.dumps(measured, indent=1))
    medians = {workers: statistics.median(seconds) for workers, seconds in measured["seconds"].items()}
    ratio = medians[2] / medians[1]
    title = f"{arguments.trials} trials of {arguments.epochs} epochs: two workers take {ratio:.3f} of the time of one"
    table = Table("workers", "median s", "least", "most", title=title, title_justify="left")
    for workers, seconds in measured["seconds"].items():
        table.add_row(str(workers), f"{medians[workers]:.1f}", f"{min(seconds):.1f}", f"{max(seconds):.1f}")
    out.print(table)


def measure(arguments: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Return the seconds of each measurement by number of workers, and the machine's load before each."""
    from flows.starting import running_prefect

    assignments = ["data.source=npz", f"data.path={path}", f"training.epochs={arguments.epochs}"]
    config = check_config(override(read_config("imdb"), assignments), "imdb")
    seconds: dict[int, list[float]] = {1: [], 2: []}
    loads: list[float] = []
    figures: set[tuple[float, ...]] = set()
    with running_prefect("flows.sweep"):
        prepared = prepare(config)
        for number in range(arguments.rounds):
            for workers in seconds:
                sweep = make_sweep(f"round-{number}-{workers}", arguments, workers)
                loads.append(os.getloadavg()[0])
                taken, found = run(config, sweep, prepared)
                seconds[workers].append(taken)
                figures.add(found)
                out.print(f"{workers} worker{'s'[: workers - 1]}: {taken:.1f} s, at a load of {loads[-1]:.1f} before it")
    if len(figures) != 1:
        raise RuntimeError("the trials of one and of two workers found different figures")
    return {
        "seconds": seconds,
        "loads": loads,
        "cores": os.cpu_count(),
        "options": {**vars(arguments), "data": path.name, "json": None},
    }


def make_sweep(name: str, arguments: argparse.Namespace, workers: int) -> SweepConfig:
    """Return the sweep of a measurement: its values follow from its seed alone, and are the same in all."""
    tree: dict[str, Any] = {
        "name": name,
        "trials": arguments.trials,
        "sampler": "random",
        "pruner": "none",
        "space": {"training.learning_rate": {"low": 0.0005, "high": 0.005, "log": True}},
        "runner": {"kind": arguments.runner, "workers": workers},
    }
    return check_section({**tree, "threads": arguments.threads} if arguments.threads else tree, "benchmark", SweepConfig)


def prepare(config: Any) -> tuple[Any, ...]:
    """Ingest, validate and pad."""
    from prefect import flow

    from tasks.ingestion.task import ingest
    from tasks.padding.task import pad_reviews
    from tasks.validation.task import validate_reviews

    @flow
    def preparation() -> tuple[Any, ...]:
        reviews = ingest(config.data)
        validation = validate_reviews(reviews, config.validation)
        return reviews, validation, pad_reviews(reviews, validation, config.padding)

    return preparation()


def run(config: Any, sweep: SweepConfig, prepared: tuple[Any, ...]) -> tuple[float, tuple[float, ...]]:
    """Run all trials of a sweep; return its seconds and what the trials found, sorted."""
    from flows.runners import task_runner
    from flows.sweep import trials
    from tasks.search.study import open_study, outcomes
    from tasks.tracking import training_run

    study = open_study(sweep, config)
    with training_run(config, name=sweep.name, tags={}) as parent:
        side_by_side = trials.with_options(task_runner=task_runner(sweep.runner))
        start = time.perf_counter()
        side_by_side(sweep.trials, sweep, config, *prepared, parent, {})
        taken = time.perf_counter() - start
    found = [one.value for one in outcomes(study, sweep)]
    if len(found) != sweep.trials or None in found:
        raise RuntimeError(f"{len(found)} of {sweep.trials} trials ended: {found}")
    return taken, tuple(sorted(value for value in found if value is not None))


if __name__ == "__main__":
    main()
