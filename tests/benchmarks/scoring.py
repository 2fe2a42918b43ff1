"""How fast and in how much memory `reprise score` scores many reviews, beside a loop over the model's MLflow pyfunc.

python -m tests.benchmarks.scoring --data imdb.npz [--rows 200000 1000000] [--runner dask] [--workers 2] [--folder DIR]

Trains `configs/imdb.yaml` unless the folder has a champion already. The reviews are real ones recombined: the first half of
one and the second half of another. The command runs in a process of its own; twice a second the resident memory and the
processor seconds of it and of all its children are read. On a machine that others use too, compare rows by CPU second. Exit 1
where more rows take more memory than TOLERANCE allows, or the loop of one text a call is not 5 times as slow by the clock.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

from tests.benchmarks.workplace import working_in

ROWS = [200_000, 1_000_000]
LOOP_ROWS, LOOP_BATCH = 1_000, 256
TOLERANCE = 1.15
RATIO = 5.0
ROWS_AT_ONCE, ROW_GROUP = 10_000, 200_000
TENTHS = 10


def read_reviews(npz: Path) -> list[str]:
    """Return the texts of all reviews."""
    from tasks.ingestion.npz import read_npz

    corpus = read_npz(str(npz), None, ["0"], ["1"])
    return [text for texts in corpus.texts for text in texts.to_pylist()]


def recombine(reviews: list[str], rows: int, seed: int = 0) -> Iterator[list[str]]:
    """Yield so many texts, in batches: each the first half of one review's words, and the second half of another's."""
    halves = []
    for review in reviews:
        words = review.split(" ")
        halves.append((" ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])))
    rng = np.random.default_rng(seed)
    for start in range(0, rows, ROWS_AT_ONCE):
        pairs = rng.integers(0, len(halves), (min(ROWS_AT_ONCE, rows - start), 2)).tolist()
        yield [f"{halves[first][0]} {halves[second][1]}" for first, second in pairs]


def write_reviews(path: Path, reviews: list[str], rows: int) -> None:
    """Write so many texts as Parquet with `id` and `text`, in row groups of up to 200,000."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("id", pa.int64()), ("text", pa.string())])
    with pq.ParquetWriter(path, schema, compression="lz4") as writer:
        waiting: list[pa.Array] = []
        done = 0
        for texts in recombine(reviews, rows):
            waiting.append(pa.array(texts, pa.string()))
            count = sum(map(len, waiting))
            if count >= min(ROW_GROUP, rows - done):
                ids = pa.array(range(done, done + count), pa.int64())
                writer.write_table(pa.table([ids, pa.chunked_array(waiting)], schema=schema), row_group_size=ROW_GROUP)
                done += count
                waiting = []


class Sample(NamedTuple):
    """A process at one moment: resident memory, and processor seconds since it began."""

    mebibytes: float
    cpu_seconds: float


def run_command(arguments: list[str]) -> tuple[dict[str, Any], float, list[dict[int, Sample]], int]:
    """Run `reprise score`; return what it tells, seconds, samples by process id, and the command's process id."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "flows.cli", "score", *arguments, "--json"]
    samples = []
    with tempfile.TemporaryFile("w+") as told, subprocess.Popen(command, stdout=told) as process:
        while process.poll() is None:
            samples.append(sample(process.pid))
            time.sleep(0.5)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        told.seek(0)
        return json.loads(told.read()), time.perf_counter() - start, samples, process.pid


def sample(pid: int) -> dict[int, Sample]:
    """Return what a process and all its children take, by process id."""
    found = {}
    try:
        for one in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            times = one.cpu_times()
            found[one.pid] = Sample(one.memory_info().rss / 2**20, times.user + times.system)
    except psutil.NoSuchProcess:  # it ended between the listing and the reading
        pass
    return found


def measure(folder: Path, reviews: list[str], rows: int, runner: str, workers: int) -> dict[str, Any]:
    """Score so many rows, and return seconds, rows a second and memory: of the command, and of its largest children."""
    source, output = folder / f"reviews-{rows}.parquet", folder / f"scored-{rows}.parquet"
    write_reviews(source, reviews, rows)
    told, seconds, samples, pid = run_command([str(source), str(output), "--runner", runner, "--workers", str(workers)])
    if told["rows"] != rows or told["errors"]:
        raise SystemExit(f"{told['rows']} rows and {told['errors']} errors of {rows} rows")
    peaks: dict[int, float] = {}
    cpu: dict[int, float] = {}
    for processes in samples:
        for one, taken in processes.items():
            peaks[one] = max(taken.mebibytes, peaks.get(one, 0))
            cpu[one] = taken.cpu_seconds
    children = sorted((size for one, size in peaks.items() if one != pid), reverse=True)
    totals = [sum(taken.mebibytes for taken in processes.values()) for processes in samples]
    result = {
        "rows": rows,
        "seconds": round(seconds, 1),
        "scoring_seconds": round(told["seconds"], 1),
        "rows_per_second": round(told["rows_per_second"]),
        "cpu_seconds": round(sum(cpu.values()), 1),
        "rows_per_cpu_second": round(rows / sum(cpu.values())),
        "command_peak_mib": round(peaks[pid]),
        "largest_children_peak_mib": [round(size) for size in children[:workers]],
        "total_peak_mib": round(max(totals)),
        "total_mib_by_tenths": [round(max(part)) for part in np.array_split(totals, TENTHS) if len(part)],
    }
    source.unlink()
    output.unlink()
    return result


def measure_loop(reviews: list[str]) -> dict[str, dict[str, float]]:
    """Return the rows a second, and a CPU second, of a loop over the champion's pyfunc: one text a call, and 256 a call."""
    import mlflow

    from tasks.mlflow_store import connect
    from tasks.registration.scoring import pin_version

    connect()
    version = pin_version(None, "champion")
    model = mlflow.pyfunc.load_model(f"models:/{version.name}/{version.version}")
    texts = next(recombine(reviews, LOOP_ROWS * 5))
    model.predict(texts[:LOOP_BATCH])
    rates = {}
    for size, rows in ((1, LOOP_ROWS), (LOOP_BATCH, len(texts))):
        start, cpu_start = time.perf_counter(), time.process_time()
        for first in range(0, rows, size):
            model.predict(texts[first : first + size])
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        rates[f"{size} a call"] = {"per_second": round(rows / seconds), "per_cpu_second": round(rows / cpu_seconds)}
    return rates


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="imdb.npz, with imdb_word_index.json beside it")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--runner", default="dask")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to work, and find or leave the model; some GB")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    data = arguments.data.absolute()
    with tempfile.TemporaryDirectory() as new, working_in((arguments.folder or Path(new)).absolute()) as folder:
        if not (folder / "mlruns").is_dir():
            train = [sys.executable, "-m", "flows.cli", "train", "--config", "imdb", "--data", str(data)]
            subprocess.run(train, check=True)
        reviews = read_reviews(data)
        runs = [measure(folder, reviews, rows, arguments.runner, arguments.workers) for rows in sorted(arguments.rows)]
        loop = measure_loop(reviews)
    first, last = runs[0], runs[-1]
    ratios = {
        name: [
            round(last["rows_per_second"] / rate["per_second"], 1),
            round(last["rows_per_cpu_second"] / rate["per_cpu_second"], 1),
        ]
        for name, rate in loop.items()
    }
    grown = {name: round(last[name] / first[name], 2) for name in ("command_peak_mib", "total_peak_mib")}
    result = {"runner": arguments.runner, "workers": arguments.workers, "runs": runs, "loop_rows": loop}
    result |= {"times_as_fast_as_the_loop_by_clock_and_cpu": ratios, "memory_grown": grown}
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))
    if ratios["1 a call"][0] < RATIO or max(grown.values()) > TOLERANCE:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
