"""How often monitoring alarms on clean IMDB reviews, and how often on planted drift.

python -m tests.benchmarks.monitoring --data imdb.npz [--samples 500] [--planted 100] [--parts stored anew] [--json FILE]

Trains `configs/imdb.yaml` once by `reprise train`, scores each pool of reviews once with the registered version, and then draws
samples of the pools and compares each with a reference by `compare_profiles`, as the flow does. `clean`: test reviews outside
the version's stored reference; and, since one reference may happen to suit or not, samples and references drawn anew from all
test reviews. Planted: labels flipped; reviews three times as long; 40 % of their words replaced by words of no vocabulary;
pieces, as long as reviews, of Python's language reference; and the generated sample of short reviews; both without labels.
`--workspace` is a folder where such a training was run before.
"""

import argparse
import json
import os
import platform
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from configs.monitoring import MonitoringConfig
from tasks.evaluation.intervals import wilson_interval
from tasks.handles import GateRows, Reviews
from tasks.ingestion.sample import generate_sample
from tasks.monitoring.comparison import compare_profiles
from tasks.monitoring.profile import REFERENCE_ROWS, Profile, make_profile, read_profile
from tasks.registration.observing import Observed, observe_texts
from tasks.registration.reference import verified_reference
from tasks.registration.versions import find_version
from tasks.text_digests import digest_texts
from tests.benchmarks.pairs import find_handle
from tests.benchmarks.speed import HERE, train
from tests.benchmarks.workplace import working_in

MODEL = "imdb-lstm"
MONITORING = MonitoringConfig()
PLANTED_ROWS = 8_000
UNKNOWN_SHARE = 0.4
FLIPS = (0.05, 0.2, 0.5)
MOST_FALSE_ALARMS = 0.02
PARTS = ("stored", "anew", "flipped", "other reviews")
out = Console(highlight=False)


class Pool(NamedTuple):
    """Reviews as the version sees them, to draw samples of: `digests` of their texts and, where there are any, `labels`."""

    digests: pa.Array
    observed: Observed
    labels: np.ndarray | None

    @classmethod
    def of(cls, version: str, texts: Sequence[str], labels: np.ndarray | None) -> "Pool":
        """Score texts once."""
        return cls(digest_texts(pa.array(texts, pa.string())), observe_texts(MODEL, version, texts), labels)

    def profile(self, rows: np.ndarray, flip: np.ndarray | None = None) -> Profile:
        """Return the profile of some rows; where `flip` is True, with the other label."""
        seen = self.observed
        labels = None if self.labels is None else self.labels[rows]
        if labels is not None and flip is not None:
            labels = np.where(flip, 1 - labels, labels).astype(np.int8)
        figures = (seen.ids[rows], seen.words[rows], seen.probabilities[rows], seen.predicted[rows], labels)
        return make_profile(self.digests.take(pa.array(rows)), *figures, seen.encoder.vocabulary_size)


def main() -> None:
    """Measure, print the table, write all figures as JSON; exit 1 if clean samples are not shown to alarm rarely enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared/data/imdb/imdb.npz")
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--samples", type=int, default=500, help="clean ones, of each size, with each kind of reference")
    parser.add_argument("--planted", type=int, default=100, help="samples of each size and drift")
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 1000, 5000])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.workspace is None and not arguments.data.is_file():
        parser.error(f"no such file: {arguments.data}")
    target = arguments.json and arguments.json.absolute()
    with ExitStack() as stack:
        workspace = arguments.workspace
        if workspace is None:
            workspace = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "monitoring"
            train(arguments.data, workspace)
        stack.enter_context(working_in(workspace.absolute()))
        results = measure(arguments)
    figures = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "arguments": {name: value for name, value in vars(arguments).items() if isinstance(value, int | list)},
        "monitoring": MONITORING.model_dump(),
        "results": results,
    }
    if target:
        target.write_text(json.dumps(figures, indent=1))
    out.print(tabulate(results, arguments.sizes))
    clean = [result["high"] for result in results if result["case"].startswith("clean")]
    if clean:
        out.print(f"Clean samples alarm in {max(clean):.2%} at most, by the upper ends of the intervals")
        if max(clean) > MOST_FALSE_ALARMS:
            raise SystemExit(1)


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return for each case and size how many samples alarmed, and by which signals."""
    rng = np.random.default_rng(arguments.seed)
    details = find_version(MODEL, "champion")
    version = details.summary.version
    with verified_reference(details) as file:
        stored = read_profile(file)
    texts, labels, outside = read_test(REFERENCE_ROWS)
    clean = Pool.of(version, texts, labels)
    results: list[dict[str, Any]] = []

    def draw_new(pool: Pool, rows: np.ndarray) -> Callable[[int], tuple[Profile, Profile]]:
        return lambda size: (stored, pool.profile(rng.choice(rows, min(size, len(rows)), replace=False)))

    def draw_both(size: int) -> tuple[Profile, Profile]:
        drawn = rng.permutation(len(texts))
        return clean.profile(drawn[:REFERENCE_ROWS]), clean.profile(drawn[REFERENCE_ROWS : REFERENCE_ROWS + size])

    def draw_flipped(share: float) -> Callable[[int], tuple[Profile, Profile]]:
        return lambda size: (stored, clean.profile(rng.choice(outside, size, replace=False), rng.random(size) < share))

    def run(case: str, samples: int, draw: Callable[[int], tuple[Profile, Profile]]) -> None:
        for size in arguments.sizes:
            alarms = Counter[str]()
            for _ in range(samples):
                drift = compare_profiles(MODEL, version, *draw(size), MONITORING)
                drifted = [signal.name for signal in drift.signals if signal.outcome == "drift"]
                alarms.update([*drifted, *(["any"] if drift.outcome == "drift" else [])])
            interval = wilson_interval(alarms["any"], samples, 0.95)
            results.append({"case": case, "rows": size, "samples": samples, "alarms": dict(alarms), **interval.model_dump()})
            out.print(f"{case}, {size} rows: {alarms['any']} of {samples} {dict(alarms)}")

    if "stored" in arguments.parts:
        run("clean, stored reference", arguments.samples, draw_new(clean, outside))
    if "anew" in arguments.parts:
        run("clean, reference drawn anew", arguments.samples, draw_both)
    for share in FLIPS if "flipped" in arguments.parts else ():
        run(f"{share:.0%} of the labels flipped", arguments.planted, draw_flipped(share))
    if "other reviews" not in arguments.parts:
        return results
    chosen = rng.choice(outside, PLANTED_ROWS, replace=False)
    some, theirs = [texts[row] for row in chosen], labels[chosen]
    domain = write_other_domain([len(text.split()) for text in some], rng)
    generated = pa.chunked_array(generate_sample().texts).to_pylist()
    for case, planted, their_labels in (
        ("length x3", [" ".join([text] * 3) for text in some], theirs),
        (f"{UNKNOWN_SHARE:.0%} unknown words", [replace_words(text, rng) for text in some], theirs),
        ("Python's language reference", domain, None),
        ("generated sample", generated, None),
    ):
        run(case, arguments.planted, draw_new(Pool.of(version, planted, their_labels), np.arange(len(planted))))
    return results


def read_test(reference_rows: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the texts and labels of all test reviews, and the positions of those outside the stored reference."""
    reviews, gate_rows = find_handle("ingestion", Reviews), find_handle("gate rows", GateRows)
    gate, audit = (pq.read_table(gate_rows.file(f"{name}.parquet")) for name in ("gate", "audit"))
    gate = gate.sort_by("digest")
    test = pa.concat_tables([gate, audit])
    texts = pq.read_table(reviews.file("reviews.parquet"), columns=["text"])["text"].take(test["row"])
    inside = pc.is_in(test["digest"], value_set=gate["digest"][:reference_rows].combine_chunks())
    return texts.to_pylist(), test["label"].to_numpy(), np.flatnonzero(pc.invert(inside).to_numpy())


def replace_words(text: str, rng: np.random.Generator) -> str:
    """Replace a share of the words, chosen at random, by words that no vocabulary has."""
    words = text.split()
    replaced = rng.random(len(words)) < UNKNOWN_SHARE
    return " ".join(f"zq{word[::-1]}qz" if change else word for word, change in zip(words, replaced, strict=True))


def write_other_domain(lengths: Sequence[int], rng: np.random.Generator) -> list[str]:
    """Return pieces of Python's language reference of so many words, cut at random places."""
    from pydoc_data.topics import topics

    words = " ".join(topics.values()).split()
    starts = [int(rng.integers(0, len(words) - length)) for length in lengths]
    return [" ".join(words[start : start + length]) for start, length in zip(starts, lengths, strict=True)]


def tabulate(results: Sequence[dict[str, Any]], sizes: Sequence[int]) -> Table:
    """Return a table with a row for each case: the share of samples that alarmed, by size, and by which signals."""
    table = Table("case", *(f"{size:,} rows" for size in sizes), "signals", title="Samples that alarm, %", title_justify="left")
    for case in dict.fromkeys(result["case"] for result in results):
        mine = [result for result in results if result["case"] == case]
        shares = [f"{100 * one['value']:.1f} [{100 * one['low']:.1f}, {100 * one['high']:.1f}]" for one in mine]
        signals = sum((Counter(one["alarms"]) for one in mine), Counter[str]())
        table.add_row(case, *shares, ", ".join(name for name, _ in signals.most_common() if name != "any"))
    return table


if __name__ == "__main__":
    main()
