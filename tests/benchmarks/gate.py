"""What the promotion gate is worth: how often it is wrong, what it sees, and whether it can be raced, deceived or repeated.

python -m tests.benchmarks.gate [--data imdb.npz] [--parts outcomes exact] [--json FILE]

`outcomes`: simulated pairs of models, of which one is better by a known gain: how often the challenger is promoted, on gate
sets of 300 and 2,000 rows and of --rows, there also where the spread between seeds is known; and pairs whose gain is that
spread alone, drawn anew for each. `exact`: the probability of a promotion computed, without drawing pairs, from where the
gate's bounds lie. `drift`: lines of 200 challengers, each as good as the champion or a little worse, under
`promote_if: not_worse`: how far the champion comes to lie below the best. `refusals`: inputs that nothing may be decided on.
`pairs`: real versions on IMDB that differ by their seed alone. `race`: promotions at once from one base. `tamper`: files and
records that were tampered with. `reproduction`: versions built again in fresh processes. `determinism`: what it costs.

Each part works in a new folder with an empty store. The last table holds what was found against what is required.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import RenderableType
from rich.table import Table

from configs.schema import GateConfig
from tests.benchmarks.pairs import measure_pairs
from tests.benchmarks.race import measure_race
from tests.benchmarks.refusals import measure_refusals
from tests.benchmarks.reproduction import measure_determinism, measure_versions
from tests.benchmarks.simulation import GAINS, MULTIPLE, measure_drift, measure_exactly, measure_outcomes, tell_share
from tests.benchmarks.speed import HERE, out
from tests.benchmarks.tamper import measure_tampering
from tests.benchmarks.workplace import working_apart

FALSE_PROMOTIONS = 0.025
PARTS: dict[str, Callable[[argparse.Namespace], tuple[Any, RenderableType]]] = {
    "outcomes": measure_outcomes,
    "exact": measure_exactly,
    "drift": measure_drift,
    "refusals": measure_refusals,
    "pairs": measure_pairs,
    "race": measure_race,
    "tamper": measure_tampering,
    "reproduction": measure_versions,
    "determinism": measure_determinism,
}
NEED_DATA = {"pairs", "reproduction", "determinism"}


class Claim(NamedTuple):
    """What is claimed of the gate: `holds` is None where nothing is required, and what was measured is only told."""

    claim: str
    required: str
    measured: str
    holds: bool | None


def main() -> None:
    """Run the parts asked for, print a table of each and of the claims, write all as JSON; exit 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared/data/imdb/imdb.npz")
    parser.add_argument("--pairs", type=int, default=2000, help="simulated, for each case of the outcomes")
    parser.add_argument("--rows", type=int, default=20_000, help="of the simulated gate set")
    parser.add_argument("--discordant", type=float, default=0.08, help="share of simulated rows that one model alone has right")
    parser.add_argument("--lines", type=int, default=10, help="of challengers, for each case of the drift")
    parser.add_argument("--seeds", type=int, default=8, help="real trainings, of which the real pairs are made")
    parser.add_argument("--rounds", type=int, default=100, help="of the race, on each store")
    parser.add_argument("--promoters", type=int, default=5, help="in each round")
    parser.add_argument("--turns", type=int, default=10, help="epochs with determinism, and as many without")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if NEED_DATA & set(arguments.parts) and not arguments.data.is_file():
        parser.error(f"no such file: {arguments.data}")
    arguments.data = arguments.data.absolute()
    figures: dict[str, Any] = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "arguments": {name: value for name, value in vars(arguments).items() if isinstance(value, int | float)},
    }
    for part in arguments.parts:
        with working_apart():
            figures[part], shown = PARTS[part](arguments)
        out.print(shown)
        if arguments.json:
            arguments.json.write_text(json.dumps(figures, indent=1))
    claims = list(find_claims(figures))
    figures["claims"] = [claim._asdict() for claim in claims]
    out.print(tabulate(claims))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))
    if any(claim.holds is False for claim in claims):
        raise SystemExit(1)


def find_claims(figures: dict[str, Any]) -> Iterator[Claim]:
    """Yield each claim that the parts which ran can speak to."""
    at_most = f"at most {FALSE_PROMOTIONS:.1%}"
    if "exact" in figures:
        equal = max(case["promoted"][0.0] for case in figures["exact"])
        told = f"{equal:.3%}, the worst of {len(figures['exact'])} cases"
        yield Claim("equally good models promoted, computed", at_most, told, equal <= FALSE_PROMOTIONS)
        largest = max(
            figures["exact"], key=lambda case: (case["rows"], case["discordant"] == figures["arguments"]["discordant"])
        )
        power = ", ".join(f"{largest['promoted'][gain]:.1%} at {100 * gain:+.1f}" for gain in GAINS[1:])
        yield Claim(f"better ones promoted, of {largest['rows']:,} gate rows", "", power, None)
    if "outcomes" in figures:
        equal = [case["promote"] for case in figures["outcomes"] if case["gain"] == 0]
        yield _share_claim("equally good models promoted, simulated", at_most, equal)
        seeds = [
            case["promote"]
            for case in figures["outcomes"]
            if case["gain"] is None and case["seed_noise"] is not None and case["noise_multiple"] == MULTIPLE
        ]
        yield _share_claim("seeds of one recipe promoted, noise known, simulated", at_most, seeds)
    if "pairs" in figures:
        pairs = figures["pairs"]
        unordered = len(pairs["pairs"]) // 2
        yield Claim("real pairs", "at least 20", f"{unordered}, each in both orders", unordered >= 20)
        told = "; ".join(
            f"{pairs[kind]['outcomes']['promote']} of {len(pairs['pairs'])} {words}"
            for kind, words in (("without_noise", "without"), ("with_noise", "with seed noise"))
        )
        yield Claim("real seeds of one recipe promoted", "", told, None)
    if "drift" in figures:
        margin = GateConfig().non_inferiority_margin
        worst = max(case["worst_on_the_gate_rows"] for case in figures["drift"] if case["mark"])
        yield Claim(
            "a champion below the best ever, on its gate rows",
            f"at most {100 * margin:.2f} points",
            f"{100 * worst:.2f} points",
            worst <= margin + 1e-9,
        )
    if "refusals" in figures:
        for kind, counts in figures["refusals"].items():
            yield _count_claim(f"refused: {kind}", counts["refused"], counts["of"])
    for row in figures.get("race", []):
        claim, required = f"race, {row['store']}: wrong outcomes", f"0 of {row['rounds']}"
        yield Claim(claim, required, f"{row['wrong']} of {row['rounds']}", row["wrong"] == 0)
    if "tamper" in figures:
        tamper = figures["tamper"]
        yield _count_claim("tampered versions refused", tamper["refused"], tamper["ways"])
        loads, ran = tamper["untouched_loads"], tamper["code_ran"]
        yield Claim("the untouched version loads", "yes", "yes" if loads else "no", loads)
        yield Claim("code that was put into a version ran", "no", "yes" if ran else "no", not ran)
    if "reproduction" in figures:
        identical = sum(row["identical"] for row in figures["reproduction"])
        yield _count_claim("reproduced versions identical", identical, len(figures["reproduction"]))
    if "determinism" in figures:
        yield Claim("an epoch with determinism", "", f"{figures['determinism']['ratio']:.3f} times as long", None)


def tabulate(claims: list[Claim]) -> Table:
    """Return a table with a line for each claim."""
    table = Table("claim", "required", "measured", "holds", title="What is claimed", title_justify="left")
    for claim in claims:
        table.add_row(*claim[:3], {True: "yes", False: "NO", None: ""}[claim.holds])
    return table


def _share_claim(claim: str, required: str, shares: list[dict[str, float]]) -> Claim:
    # A rate of just the bound is above it in every other sample: it is refuted where the whole interval is.
    worst = max(shares, key=lambda share: share["value"])
    told = f"{tell_share(worst)} %, the worst of {len(shares)} cases"
    return Claim(claim, required, told, all(share["low"] <= FALSE_PROMOTIONS for share in shares))


def _count_claim(claim: str, count: int, of: int) -> Claim:
    return Claim(claim, "all", f"{count} of {of}", count == of > 0)


if __name__ == "__main__":
    main()
