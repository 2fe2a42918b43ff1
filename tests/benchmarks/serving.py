"""How many requests a second `reprise serve` answers, and how soon, beside `mlflow models serve` on the same version.

python -m tests.benchmarks.serving --data imdb.npz [--clients 1 4 16 64] [--seconds 10] [--rounds 3] [--folder DIR]

Trains `configs/imdb.yaml` unless the folder has a champion already. Both servers run at once; wrk (Debian's) asks now one,
now the other, over loopback, for the score of one real review at a time. A figure is the median of the rounds. Exit 1 where
at 16 clients `reprise serve` has less than 5 times the throughput of the other, or a p99 that is no lower, or where one of its
answers was none.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.scoring import read_reviews
from tests.benchmarks.workplace import working_in

CLIENTS = [1, 4, 16, 64]
JUDGED = 16
RATIO = 5.0
REVIEWS = 2000
WARM_SECONDS = 3
START_SECONDS = 300
MODEL = "imdb-lstm"
SCRIPT = """
local bodies = {}
for line in io.lines("%s") do bodies[#bodies + 1] = line end
local next_body = 0
function setup(thread) thread:set("first", next_body); next_body = next_body + 500 end
function init(arguments) place = first or 0 end
function request()
  place = place %% #bodies + 1
  return wrk.format("POST", nil, {["Content-Type"] = "application/json"}, bodies[place])
end
function done(summary, latency, requests)
  local failed = summary.errors
  local errors = failed.status + failed.connect + failed.read + failed.write + failed.timeout
  io.write(string.format('RESULT {"requests": %%d, "microseconds": %%d, "p50": %%d, "p99": %%d, "errors": %%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors))
end
"""


class Contender(NamedTuple):
    """A server that answers: where to ask it, and a file with a question on each line."""

    name: str
    url: str
    script: Path


class Load(NamedTuple):
    """What came of one run of wrk: requests a second, milliseconds, and failures."""

    per_second: float
    p50: float
    p99: float
    errors: int


def write_script(folder: Path, name: str, questions: list[Any]) -> Path:
    """Write the questions, and the script by which wrk asks one after the other; each of its threads begins elsewhere."""
    bodies, script = folder / f"{name}.jsonl", folder / f"{name}.lua"
    bodies.write_text("".join(f"{json.dumps(question)}\n" for question in questions))
    script.write_text(SCRIPT % bodies)
    return script


def load(contender: Contender, clients: int, seconds: int) -> Load:
    """Have so many clients ask for so many seconds, each again as soon as it is answered."""
    threads = min(2, clients)
    command = ["wrk", f"-t{threads}", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "--script", str(contender.script)]
    run = subprocess.run([*command, contender.url], capture_output=True, text=True, check=True)
    found = re.search(r"^RESULT (.*)$", run.stdout, re.MULTILINE)
    if found is None:
        raise SystemExit(f"wrk told nothing: {run.stdout} {run.stderr}")
    told = json.loads(found[1])
    per_second = told["requests"] / told["microseconds"] * 1e6
    return Load(per_second, told["p50"] / 1000, told["p99"] / 1000, told["errors"])


@contextmanager
def serving(command: list[str], url: str, log: Path) -> Iterator[None]:
    """Run a server until the block ends, which begins when it answers."""
    # `mlflow models serve` finds uvicorn by PATH, and leaves it behind when it is ended alone.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], stdout=file, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5):  # noqa: S310 (loopback http)
                    break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{command[0]} did not start: {log.read_text()[-2000:]}") from None
                time.sleep(0.5)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@contextmanager
def both_servers(folder: Path, reviews: list[str]) -> Iterator[list[Contender]]:
    """Start both on the champion, and yield them once they answer."""
    from flows.servers import free_port
    from tasks.mlflow_store import tracking_uri

    ours, theirs = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    port = ours.rpartition(":")[2]
    mlflow = ["mlflow", "models", "serve", "--model-uri", f"models:/{MODEL}@champion", "--env-manager", "local"]
    mlflow += ["--port", theirs.rpartition(":")[2], "--workers", "1"]
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri()  # for `mlflow models serve`, whose own default is another
    with (
        serving(["flows.cli", "serve", "--model", MODEL, "--port", port], f"{ours}/ready", folder / "reprise-serve.log"),
        serving(mlflow, f"{theirs}/health", folder / "mlflow-serve.log"),
    ):
        yield [
            Contender("reprise", f"{ours}/predict", write_script(folder, "reprise", [{"texts": [one]} for one in reviews])),
            Contender(
                "mlflow", f"{theirs}/invocations", write_script(folder, "mlflow", [{"inputs": [one]} for one in reviews])
            ),
        ]


def median(loads: list[Load]) -> Load:
    """Return the median of each figure, and all errors."""
    per_second, p50, p99 = (statistics.median(figures) for figures in list(zip(*loads, strict=True))[:3])
    return Load(per_second, p50, p99, sum(one.errors for one in loads))


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="imdb.npz, with imdb_word_index.json beside it")
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work, and find or leave the model")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("no wrk: apt-get install wrk")
    data = arguments.data.absolute()
    with tempfile.TemporaryDirectory() as new, working_in((arguments.folder or Path(new)).absolute()) as folder:
        if not (folder / "mlruns").is_dir():
            subprocess.run([sys.executable, "-m", "flows.cli", "train", "--config", "imdb", "--data", str(data)], check=True)
        reviews = read_reviews(data)
        with both_servers(folder, reviews[:: len(reviews) // REVIEWS]) as contenders:
            for contender in contenders:
                load(contender, JUDGED, WARM_SECONDS)
            loads: dict[tuple[int, str], list[Load]] = {}
            for clients in arguments.clients:
                for _ in range(arguments.rounds):
                    for contender in contenders:
                        loads.setdefault((clients, contender.name), []).append(load(contender, clients, arguments.seconds))
    found = {key: median(several) for key, several in loads.items()}
    print(f"{'clients':>7}  {'server':<8}{'requests/s':>11}{'p50 ms':>9}{'p99 ms':>9}{'errors':>8}")
    for (clients, name), one in found.items():
        print(f"{clients:>7}  {name:<8}{one.per_second:>11,.0f}{one.p50:>9.1f}{one.p99:>9.1f}{one.errors:>8}")
    result = [{"clients": clients, "server": name, **one._asdict()} for (clients, name), one in found.items()]
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))
    failed = [f"{one.errors} requests of {name} failed" for (_, name), one in found.items() if one.errors and name == "reprise"]
    if (JUDGED, "reprise") in found:
        ours, theirs = found[JUDGED, "reprise"], found[JUDGED, "mlflow"]
        ratio = ours.per_second / theirs.per_second
        print(f"at {JUDGED} clients: {ratio:.1f} times the throughput, p99 {ours.p99:.1f} ms against {theirs.p99:.1f} ms")
        if ratio < RATIO or ours.p99 >= theirs.p99:
            failed.append(f"that is less than {RATIO:g} times, or a p99 that is no lower")
    if failed:
        raise SystemExit("; ".join(failed))


if __name__ == "__main__":
    main()
