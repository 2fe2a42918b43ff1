"""What the promotion gate decides where the truth is known, because models are simulated: how often it is wrong, what it sees.

A pair of models is drawn as gate rows of which a known share is right by one of them alone. Every outcome is that of `judge` on
figures of `compare_accuracy`, `compare_slices` and `mcnemar`.
"""

import argparse
import math
from bisect import bisect_left
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table
from scipy.optimize import brentq
from scipy.stats import binom

from configs.schema import EvaluationConfig, GateConfig
from tasks.evaluation.comparison import compare_accuracy, compare_slices, mcnemar, paired_gain
from tasks.evaluation.intervals import wilson_interval
from tasks.handles import Comparison, HighWaterMark, Interval, PairedAccuracy, SeedNoise, Standing
from tasks.registration.gate import judge

GAINS = (0.0, 0.005, 0.01, 0.02)
SPREADS = (0.005, 0.0075)
SMALL_GATES = (300, 2000)
OUTCOMES = ("promote", "keep", "undecided")
ACCURACY = 0.862  # of an LSTM on IMDB, as is the distribution of lengths below
BANDS = EvaluationConfig().length_bands
FLOORS = {"accuracy": 0.5}  # what is measured is the comparison, not the floors
POWER = 0.8  # of the gain that one may hope to see
POPULATION, STEPS = 100_000, 200
MULTIPLE = GateConfig().noise_multiple


def measure_outcomes(arguments: argparse.Namespace) -> tuple[Any, Table]:
    """Count the outcomes of pairs whose true gain is known, and of pairs that differ by their seeds alone."""
    generator = np.random.default_rng(arguments.seed)
    pairs, rows, discordant = arguments.pairs, arguments.rows, arguments.discordant
    found = []
    for size in sorted({*SMALL_GATES, rows}):
        for gain in GAINS:
            compared = [compare_pair(draw_pair(generator, size, discordant, gain)) for _ in range(pairs)]
            found += [count_outcomes(compared, gain, spread) for spread in ((None, *SPREADS) if size == rows else (None,))]
    for spread in SPREADS:
        # The spread is one of measured accuracies: what the rows themselves add to it is taken off.
        gains = generator.normal(0, math.sqrt(max(spread**2 - discordant / rows, 0)), pairs)
        compared = [compare_pair(draw_pair(generator, rows, discordant, gain)) for gain in gains]
        settings = ((None, MULTIPLE), (spread, 1.0), (spread, MULTIPLE))
        found += [{**count_outcomes(compared, None, known, multiple), "true_spread": spread} for known, multiple in settings]
    title = (
        f"Outcomes of {pairs:,} pairs each, in %, with 95 % Wilson intervals of what is promoted; {discordant:.0%} of rows "
        "discordant; gains and seed noise in points"
    )
    table = Table("gate rows", "true gain", "seed noise", *OUTCOMES, title=title, title_justify="left")
    for case in found:
        gain = f"+-{100 * case['true_spread']:.2f}" if case["gain"] is None else f"{100 * case['gain']:+.1f}"
        noise = "" if case["seed_noise"] is None else f"{case['noise_multiple']:g} x {100 * case['seed_noise']:.2f}"
        promoted, *others = (case[outcome] for outcome in OUTCOMES)
        told = [tell_share(promoted), *(f"{100 * other['value']:.1f}" for other in others)]
        table.add_row(f"{case['rows']:,}", gain, noise, *told)
    return found, table


def measure_exactly(arguments: argparse.Namespace) -> tuple[Any, Table]:
    """Compute the probability of a promotion for each size of the gate set, discordant share and true gain."""
    shares = sorted({0.04, 0.12, 0.2, arguments.discordant})
    found = []
    for rows in sorted({*SMALL_GATES, arguments.rows}):
        for share in shares:
            bounds = find_bounds(rows, share)
            promoted = {gain: bounds.promotion_rate(gain) for gain in GAINS}
            found.append({"rows": rows, "discordant": share, "promoted": promoted, "visible_gain": bounds.visible_gain()})
    title = "Probability of a promotion, in %, by true gain in points; without the check of slices, which only lowers it"
    gains = [f"gain {100 * gain:+.1f}" for gain in GAINS]
    table = Table("gate rows", "discordant", *gains, "80 % from", title=title, title_justify="left")
    for case in found:
        told = [f"{100 * rate:.3f}" for rate in case["promoted"].values()]
        visible = "" if case["visible_gain"] is None else f"{100 * case['visible_gain']:+.2f}"
        table.add_row(f"{case['rows']:,}", f"{case['discordant']:.0%}", *told, visible)
    return found, table


def measure_drift(arguments: argparse.Namespace) -> tuple[Any, Table]:
    """Follow lines of challengers under `not_worse`, and find how far the champion came to lie below the best.

    The gate rows stay the same or, as where data is renewed between retrainings, are drawn anew for each challenger.
    """
    generator = np.random.default_rng(arguments.seed)
    title = (
        f"Lines of {STEPS} challengers under not_worse, margin {100 * GateConfig().non_inferiority_margin:.2f} points, "
        f"{arguments.rows:,} gate rows: the champion below the best ever, worst of {arguments.lines} lines, in points"
    )
    columns = ("gain", "gate rows", "mark", "promoted", "on gate rows", "in truth", "truth at end")
    table = Table(*columns, title=title, title_justify="left")
    found = []
    for gain in (0.0, -0.001, -0.002):
        for renewed in (False, True):
            for mark in (True, False):
                lines = [
                    follow_line(generator, arguments.rows, arguments.discordant, gain, renewed=renewed, mark=mark)
                    for _ in range(arguments.lines)
                ]
                case = {
                    "gain": gain,
                    "rows_renewed": renewed,
                    "mark": mark,
                    "promoted": np.mean([line.promoted for line in lines]),
                    "worst_on_the_gate_rows": max(line.below_measured for line in lines),
                    "worst_in_truth": max(line.below_true for line in lines),
                    "mean_truth_at_the_end": np.mean([line.change for line in lines]),
                }
                found.append(case)
                table.add_row(
                    f"{100 * gain:+.1f}",
                    "renewed" if renewed else "the same",
                    "kept" if mark else "none",
                    f"{case['promoted']:.0f}",
                    *(f"{100 * case[name]:.2f}" for name in ("worst_on_the_gate_rows", "worst_in_truth")),
                    f"{100 * case['mean_truth_at_the_end']:+.2f}",
                )
    return found, table


class Pair(NamedTuple):
    """Labels of gate rows, their lengths in words, and what two models predict for them, each (rows,)."""

    labels: np.ndarray
    lengths: np.ndarray
    challenger: np.ndarray
    champion: np.ndarray


class Line(NamedTuple):
    """A line of champions: how many there were, and how far below the best one of them was, as shares of accuracy."""

    promoted: int
    below_measured: float
    below_true: float
    change: float


class Bounds(NamedTuple):
    """Numbers of `discordant` rows: how many of them a challenger must win, and how probable each is; each (numbers,)."""

    discordant: float
    numbers: np.ndarray
    needed: np.ndarray
    weights: np.ndarray

    def promotion_rate(self, gain: float) -> float:
        """Return the probability of a promotion where the true gain is this."""
        share = (self.discordant + gain) / (2 * self.discordant)
        return float(self.weights @ binom.sf(self.needed - 1, self.numbers, share))

    def visible_gain(self) -> float | None:
        """Return the gain that is promoted four times in five; None where even all discordant rows won are not."""
        if self.promotion_rate(self.discordant) < POWER:
            return None
        return brentq(lambda gain: self.promotion_rate(gain) - POWER, 0, self.discordant)


def draw_pair(generator: np.random.Generator, rows: int, discordant: float, gain: float) -> Pair:
    """Draw rows on which a challenger is right more often than a champion by `gain` in expectation."""
    only_challenger = (discordant + gain) / 2
    drawn = generator.random(rows)
    champion_right = (drawn >= only_challenger) & (drawn < only_challenger + ACCURACY)
    challenger_right = (drawn < only_challenger) | ((drawn >= discordant) & (drawn < only_challenger + ACCURACY))
    return make_pair(generator, challenger_right, champion_right)


def make_pair(generator: np.random.Generator, challenger_right: np.ndarray, champion_right: np.ndarray) -> Pair:
    """Draw labels and lengths for rows that two models are right or wrong on."""
    labels = generator.integers(0, 2, challenger_right.size, dtype=np.int8)
    lengths = np.maximum(generator.lognormal(math.log(174), 0.62, labels.size), 1).astype(np.int32)
    predicted = [np.where(right, labels, 1 - labels) for right in (challenger_right, champion_right)]
    return Pair(labels, lengths, *predicted)


def compare_pair(pair: Pair, high_water: HighWaterMark | None = None) -> Comparison:
    """Compare two models as the gate does."""
    confidence = GateConfig().confidence
    accuracy = compare_accuracy("all", pair.labels, pair.challenger, pair.champion, confidence)
    slices = compare_slices(*pair[:2], *pair[2:], bands=BANDS, confidence=confidence)
    return complete(accuracy, slices, high_water)


def complete(
    accuracy: PairedAccuracy, slices: tuple[PairedAccuracy, ...], high_water: HighWaterMark | None = None
) -> Comparison:
    """Return a comparison of two versions that differ in nothing but accuracy."""
    test, p_value = mcnemar(accuracy.only_challenger, accuracy.only_champion)
    return Comparison(
        gate_sha256="",
        rows=accuracy.rows,
        overlap_rows=0,
        decided_before=0,
        gate_changed=False,
        challenger=make_standing("2", accuracy.challenger),
        champion=make_standing("1", accuracy.champion),
        accuracy=accuracy,
        test=test,
        p_value=p_value,
        slices=slices,
        high_water=high_water,
        noise=None,
    )


def make_standing(version: str, accuracy: float) -> Standing:
    """Return a version that passes every check of the gate but those of its accuracy."""
    metrics = {"accuracy": accuracy}
    return Standing(version=version, metrics=metrics, calibration_error=0.02, latency_milliseconds=5.0, bytes=900_000)


def count_outcomes(
    compared: list[Comparison], gain: float | None, spread: float | None, multiple: float = MULTIPLE
) -> dict[str, Any]:
    """Judge each comparison, with the spread between seeds where one is known, and count the outcomes."""
    noise = None if spread is None else SeedNoise(accuracies=(), spread=spread, gate_sha256="", config_sha256="")
    gate = GateConfig(noise_multiple=multiple)
    given = [comparison.model_copy(update={"noise": noise}) for comparison in compared]
    counts = Counter(judge(comparison, floors=FLOORS, gate=gate).outcome for comparison in given)
    shares = {outcome: wilson_interval(counts[outcome], len(compared), 0.95).model_dump() for outcome in OUTCOMES}
    case = {"rows": compared[0].rows, "gain": gain, "seed_noise": spread, "noise_multiple": multiple}
    return {**case, "pairs": len(compared), **shares}


def find_bounds(rows: int, discordant: float) -> Bounds:
    """Find by asking the gate, for each number of discordant rows, the fewest that the challenger must win."""
    numbers = np.arange(binom.ppf(1e-9, rows, discordant), binom.ppf(1 - 1e-9, rows, discordant) + 1, dtype=int)
    needed = [
        bisect_left(range(number + 1), True, lo=number // 2, key=lambda won, of=number: is_promoted(won, of - won, rows))
        for number in numbers.tolist()
    ]
    return Bounds(discordant, numbers, np.array(needed), binom.pmf(numbers, rows, discordant))


def is_promoted(only_challenger: int, only_champion: int, rows: int) -> bool:
    """Tell whether a challenger with these counts is promoted, if no slice speaks against it."""
    gain = paired_gain(only_challenger, only_champion, rows, GateConfig().confidence)
    accuracy = PairedAccuracy(
        name="all",
        rows=rows,
        challenger=ACCURACY + gain.value,
        champion=ACCURACY,
        only_challenger=only_challenger,
        only_champion=only_champion,
        gain=gain,
    )
    return judge(complete(accuracy, (accuracy,)), floors=FLOORS, gate=GateConfig()).outcome == "promote"


def follow_line(
    generator: np.random.Generator, rows: int, discordant: float, gain: float, *, renewed: bool, mark: bool
) -> Line:
    """Follow a line of champions, each beaten by a challenger that is better than it by `gain` in expectation.

    A model is what it has right of a population of rows; its true accuracy is that on all of them.
    """
    gate = GateConfig(promote_if="not_worse")
    champion = generator.random(POPULATION) < ACCURACY
    champions, start = [champion], champion.mean()
    chosen = generator.choice(POPULATION, rows, replace=False)
    best_measured = best_true = 0.0
    below_measured = below_true = 0.0
    for _ in range(STEPS):
        if renewed:
            chosen = generator.choice(POPULATION, rows, replace=False)
        true = champion.mean()
        changed = np.where(champion, (discordant - gain) / (2 * true), (discordant + gain) / (2 * (1 - true)))
        challenger = champion ^ (generator.random(POPULATION) < changed)
        best_measured = max(was[chosen].mean() for was in champions)
        high_water = HighWaterMark(version="1", accuracy=best_measured) if mark else None
        comparison = compare_pair(make_pair(generator, challenger[chosen], champion[chosen]), high_water)
        if judge(comparison, floors=FLOORS, gate=gate).outcome != "promote":
            continue
        champion = challenger
        champions.append(champion)
        best_true = max(was.mean() for was in champions)
        below_measured = max(below_measured, best_measured - champion[chosen].mean())
        below_true = max(below_true, best_true - champion.mean())
    return Line(len(champions) - 1, float(below_measured), float(below_true), float(champion.mean() - start))


def tell_share(interval: dict[str, float]) -> str:
    """Return a share and its interval in percent."""
    value, low, high = (100 * interval[name] for name in Interval.model_fields)
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"
