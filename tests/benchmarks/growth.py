"""How time and memory of the data stages grow with the number of reviews.

python -m tests.benchmarks.growth [--rows 25000 250000 1000000] [--format csv.gz] [--through STAGE] [--folder DIR] [--json FILE]

Each stage runs in a fresh process, through the stage's plain function. Seconds are those of the function, without imports:
by the clock, and of CPU, which are fewer by what the process waited for the disk or for others, or was stopped.
The peak is the process's largest resident memory, with imports and whatever pages of files it mapped.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

# What is imported here counts in every process's peak: the stages import what they need.

ROWS = [25_000, 250_000, 1_000_000]
FORMATS = ["parquet", "csv", "csv.gz", "jsonl", "jsonl.gz"]
MEMORY_LIMIT_MIB = 4096


def generate(folder: Path, rows: int, extension: str) -> Callable[[], Any]:
    """Prepare to write so many synthetic reviews as `source.<extension>`."""
    import gzip

    import pyarrow.csv

    from tests.benchmarks.synthetic_reviews import SCHEMA, generate_reviews, write_synthetic_reviews

    path = folder / f"source.{extension}"

    def write_text() -> None:
        with gzip.open(path, "wb", compresslevel=1) if extension.endswith(".gz") else path.open("wb") as file:
            if extension.startswith("csv"):
                with pyarrow.csv.CSVWriter(file, SCHEMA) as writer:
                    for batch in generate_reviews(rows):
                        writer.write_batch(batch)
            else:
                for batch in generate_reviews(rows):
                    file.writelines(f"{json.dumps(row)}\n".encode() for row in batch.to_pylist())

    return (lambda: write_synthetic_reviews(path, rows)) if extension == "parquet" else write_text


def ingest(folder: Path, rows: int, extension: str) -> Callable[[], Any]:
    """Prepare to ingest the source."""
    from configs.schema import DataConfig
    from tasks.ingestion.task import ingest

    data = DataConfig(source="table", path=str(folder / f"source.{extension}"))
    return lambda: ingest.__wrapped__(_new(folder / "reviews"), data)


def validate_reviews(folder: Path, rows: int, extension: str) -> Callable[[], Any]:
    """Prepare to validate the reviews."""
    from configs.schema import ValidationConfig
    from tasks.handles import Reviews
    from tasks.validation.validate import check_reviews

    reviews = _handle(folder / "reviews", Reviews)
    return lambda: check_reviews(_new(folder / "validation"), reviews, ValidationConfig())


def pad_reviews(folder: Path, rows: int, extension: str) -> Callable[[], Any]:
    """Prepare to fit the vocabulary and pad the reviews."""
    import tasks.padding.arrays
    import tasks.padding.vocabulary  # noqa: F401
    from configs.schema import PaddingConfig
    from tasks.handles import Reviews, ValidationReport
    from tasks.padding.task import pad_reviews

    reviews, report = _handle(folder / "reviews", Reviews), _handle(folder / "validation", ValidationReport)
    return lambda: pad_reviews.__wrapped__(_new(folder / "padded"), reviews, report, PaddingConfig())


def validate_padded(folder: Path, rows: int, extension: str) -> Callable[[], Any]:
    """Prepare to validate the padded reviews."""
    from tasks.handles import PaddedReviews
    from tasks.validation.validate import check_padded

    padded = _handle(folder / "padded", PaddedReviews)
    return lambda: check_padded(_new(folder / "padded_validation"), padded)


STAGES = {
    "generator": generate,
    "ingestion": ingest,
    "validation": validate_reviews,
    "padding": pad_reviews,
    "padding validation": validate_padded,
}


def measure(stage: str, folder: Path, rows: int, extension: str) -> dict[str, Any]:
    """Run a stage in this process, keep its handle, and return what it took."""
    run = STAGES[stage](folder, rows, extension)
    start, cpu_start = time.perf_counter(), time.process_time()
    result = run()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if result is not None:
        (Path(result.path) / "handle.json").write_text(result.model_dump_json())
    if not getattr(result, "passed", True):
        raise RuntimeError(f"{stage} of {rows} synthetic reviews did not pass: {result.failures}")
    return {
        "rows": rows,
        "stage": stage,
        "seconds": round(seconds, 4),
        "seconds_per_1000_rows": round(seconds / rows * 1000, 6),
        "cpu_seconds": round(cpu_seconds, 4),
        "peak_rss_mib": round(peak),
    }


def measure_all(sizes: list[int], stages: list[str], extension: str, parent: Path | None) -> list[dict[str, Any]]:
    """Run the stages for every size, one at a time, each in a process of its own."""
    measured = []
    for rows in sizes:
        with tempfile.TemporaryDirectory(dir=parent) as name:
            for stage in stages:
                spawning = multiprocessing.get_context("spawn")
                with ProcessPoolExecutor(1, mp_context=spawning) as process:
                    measured.append(process.submit(measure, stage, Path(name), rows, extension).result())
    return measured


def show(measured: list[dict[str, Any]]) -> None:
    """Print a table: what each stage took, and how that grew from the size before."""
    table = Table(box=SIMPLE, padding=0, pad_edge=False)  # to fit 80 columns
    table.add_column("stage", no_wrap=True)
    for name in ("reviews", "s", "s/1,000", "grown", "CPU s", "grown", "peak MiB", "grown"):
        table.add_column(name, justify="right")
    for stage in STAGES:
        before = None
        for row in (row for row in measured if row["stage"] == stage):
            grown = {
                name: f"{row[name] / before[name]:.2f}x" if before else ""
                for name in ("seconds", "cpu_seconds", "peak_rss_mib")
            }
            table.add_row(
                stage,
                f"{row['rows']:,}",
                f"{row['seconds']:.1f}",
                f"{row['seconds_per_1000_rows']:.4f}",
                grown["seconds"],
                f"{row['cpu_seconds']:.1f}",
                grown["cpu_seconds"],
                f"{row['peak_rss_mib']:,}",
                grown["peak_rss_mib"],
            )
            before = row
        table.add_section()
    Console().print(table)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _handle(folder: Path, kind: Any) -> Any:
    return kind.model_validate_json((folder / "handle.json").read_text())


def main() -> None:
    """Measure and tell; exit 1 where a stage takes more memory than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--format", choices=FORMATS, default="parquet", help="of the source")
    parser.add_argument("--through", choices=STAGES, default=list(STAGES)[-1], help="the last stage to run")
    parser.add_argument("--folder", type=Path, help="where the data lies meanwhile: some GB for a million reviews")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    stages = list(STAGES)[: list(STAGES).index(arguments.through) + 1]
    measured = measure_all(sorted(arguments.rows), stages, arguments.format, arguments.folder)
    show(measured)
    if arguments.json:
        arguments.json.write_text(json.dumps(measured, indent=1))
    if any(row["peak_rss_mib"] > MEMORY_LIMIT_MIB for row in measured):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
