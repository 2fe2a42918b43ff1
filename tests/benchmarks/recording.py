"""What recording a run costs its training: the journal, its delivery to MLflow, and the checkpoints; and system metrics beside.

    python -m tests.benchmarks.recording --data imdb.npz [--rounds 5] [--epochs 5] [--json FILE]

The training stage of `configs/imdb.yaml` on real IMDB, within a run of an embedded MLflow store, takes turns in one process
with the same training that tells nobody. What a run records at its start is delivered before, as it is in a whole run.
Seconds are those of the fit, callbacks included, by the clock and of the processor (all its threads); a ratio is that
of the medians. On a machine that others use, the processor's is the one to trust.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from configs.loading import check_config, override, read_config
from configs.schema import Config
from tasks.handles import PaddedReviews
from tasks.results import HANDLE_FILE
from tests.benchmarks.speed import pad_imdb
from tests.benchmarks.workplace import working_apart

ALLOWED = 0.03


def main() -> None:
    """Take turns, and print what recording costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="IMDB's imdb.npz")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with working_apart() as folder:
        measured = measure(pad_imdb(arguments.data.absolute(), folder), arguments.rounds, arguments.epochs)
    Console().print(tabulate(measured))
    if arguments.json:
        arguments.json.write_text(json.dumps(measured, indent=1))


def measure(padded_folder: Path, rounds: int, epochs: int) -> dict[str, Any]:
    """Return the seconds of each round by kind, the ratios of their medians to those of `alone`, and milliseconds an epoch."""
    from tasks.tracking import settle, training_run
    from tasks.training import train_network as room
    from tasks.training.task import train

    config = check_config(override(read_config("imdb"), [f"training.epochs={epochs}", "training.verbosity=0"]), "imdb")
    handle = PaddedReviews.model_validate_json((padded_folder / HANDLE_FILE).read_text())
    padded = handle.model_copy(update={"path": str(padded_folder)})
    kinds = ("alone", "recorded", "recorded, with system metrics")
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    cpu_seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    whole, spent = room.train_network, []

    def timed(*args: Any, **kwargs: Any) -> Any:
        start, cpu_start = time.perf_counter(), time.process_time()
        trained = whole(*args, **kwargs)
        spent.append((time.perf_counter() - start, time.process_time() - cpu_start))
        return trained

    def record(*, system_metrics: bool) -> None:
        tracking = config.tracking.model_copy(update={"system_metrics": system_metrics})
        with training_run(config.model_copy(update={"tracking": tracking}), name="benchmark", tags={}) as run:
            settle(run.run_id, 60)
            train.__wrapped__(padded, config.padding, config.model, config.training, run)  # type: ignore[attr-defined]

    def run_alone() -> None:
        timed(padded, config.padding, config.model, config.training, verbosity=0, on_epoch=lambda *_: None)

    room.train_network = timed  # the stage imports it when it is called
    try:
        run_alone()  # TensorFlow is slower at its first
        for number in range(rounds):
            # The first of a round by turns, so that neither always follows the other.
            for kind in kinds if number % 2 else reversed(kinds):
                if kind == "alone":
                    run_alone()
                else:
                    record(system_metrics=kind != "recorded")
                for times, figure in zip((seconds, cpu_seconds), spent[-1], strict=True):
                    times[kind].append(figure)
    finally:
        room.train_network = whole
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "ratio": ratios_of_medians(seconds),
        "cpu_ratio": ratios_of_medians(cpu_seconds),
        "callback_milliseconds_per_epoch": 1000 * statistics.median(measure_callback(config, epochs)),
    }


def ratios_of_medians(times: dict[str, list[float]]) -> dict[str, float]:
    """Return how many times as long each kind of training takes as the one that tells nobody."""
    return {kind: statistics.median(taken) / statistics.median(times["alone"]) for kind, taken in times.items()}


def measure_callback(config: Config, epochs: int) -> list[float]:
    """Return the seconds for which recording an epoch holds up the training, free of what else the machine does meanwhile."""
    from tasks.recording import log_epoch
    from tasks.tracking import training_run

    taken = []
    with training_run(config, name="callback", tags={}) as run:
        for epoch in range(1, 20 * epochs + 1):
            start = time.perf_counter()
            log_epoch(run, epoch, dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy", "seconds"), 1 / epoch))
            taken.append(time.perf_counter() - start)
    return taken


def tabulate(measured: dict[str, Any]) -> Table:
    """Return the figures as a table, whose title says what recording costs."""
    title = (
        f"Training takes {measured['ratio']['recorded']:.3f} times as long when it is recorded, and "
        f"{measured['cpu_ratio']['recorded']:.3f} times the processor's time (allowed: {1 + ALLOWED:.2f}); "
        f"to hand an epoch over takes {measured['callback_milliseconds_per_epoch']:.1f} ms"
    )
    table = Table("training", "median s", "least", "most", "ratio", "median cpu s", "ratio", title=title, title_justify="left")
    for kind, times in measured["seconds"].items():
        cpu = statistics.median(measured["cpu_seconds"][kind])
        spread = [f"{statistics.median(times):.2f}", f"{min(times):.2f}", f"{max(times):.2f}"]
        table.add_row(kind, *spread, f"{measured['ratio'][kind]:.3f}", f"{cpu:.2f}", f"{measured['cpu_ratio'][kind]:.3f}")
    return table


if __name__ == "__main__":
    main()
