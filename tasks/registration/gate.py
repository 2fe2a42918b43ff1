"""The promotion gate: what a challenger must be shown to be before it replaces the champion."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from configs.schema import GateConfig, Metric
from tasks.handles import Comparison, GateCheck, HighWaterMark, Interval, PairedAccuracy, SeedNoise, Standing, Verdict


def judge(comparison: Comparison, *, floors: Mapping[Metric, float], gate: GateConfig) -> Verdict:
    """Return what the gate says of a challenger.

    A check that fails keeps the champion; one that is neither shown to hold nor shown to fail leaves it undecided; only where
    every check holds is the challenger promoted. Without a champion it has to pass those that need none. A comparison that
    lacks a part, or holds a number that is not finite, is looked at no further: it keeps the champion.

    Args:
        comparison: Both versions on the same gate rows, its intervals of the confidence that the gate asks for.
        floors: The least value of each metric that has one, for the challenger.
        gate: Margins, bounds and confidence.
    """
    challenger, champion, accuracy = comparison.challenger, comparison.champion, comparison.accuracy
    checks = [_check_complete(comparison, gate), _check_finite(comparison)]
    if all(check.passed for check in checks):
        checks += [_check_floors(challenger, floors), _check_calibration(challenger, gate)]
        if champion is not None:
            checks += [
                _check_latency(challenger, champion, gate),
                _check_size(challenger, champion, gate),
                _check_slices(comparison.slices, gate),
            ]
        if comparison.high_water is not None:
            reached = challenger.metrics.get("accuracy", math.nan) if accuracy is None else accuracy.challenger
            checks.append(_check_high_water(reached, comparison.high_water, gate))
        if accuracy is not None and comparison.p_value is not None:
            checks.append(_check_gain(comparison, accuracy.gain, comparison.p_value, gate))
            if comparison.noise is not None and gate.promote_if == "better":
                checks.append(_check_noise(accuracy.gain, comparison.noise, gate))
    return _conclude(comparison, tuple(checks))


def _check_complete(comparison: Comparison, gate: GateConfig) -> GateCheck:
    champion, accuracy = comparison.champion, comparison.accuracy
    parts = {
        "accuracy": accuracy,
        "test": comparison.test,
        "p_value": comparison.p_value,
        "slices": comparison.slices or None,
    }
    present = [name for name, part in parts.items() if part is not None]
    missing = [name for name, part in parts.items() if part is None]
    if comparison.rows < gate.min_rows:
        scored = f"version {comparison.challenger.version} was scored on {comparison.rows:,} gate rows"
        wrong = f"{scored}, and the gate needs {gate.min_rows:,}"
    elif champion is None and present:
        wrong = f"the comparison has {', '.join(present)} but no champion"
    elif champion is not None and missing:
        wrong = f"the comparison with version {champion.version} lacks {', '.join(missing)}"
    elif accuracy is not None and accuracy.rows != comparison.rows:
        wrong = f"accuracies of {accuracy.rows:,} rows were given for {comparison.rows:,} gate rows"
    else:
        overlap = f", without {comparison.overlap_rows:,} that a version was trained on" if comparison.overlap_rows else ""
        decisions = f"{comparison.decided_before or 'no'} decision{'s' if comparison.decided_before > 1 else ''}"
        changed = (
            ""
            if champion is None or not comparison.gate_changed
            else (f"; version {champion.version} was decided on by others, and is scored on these now")
        )
        return _check("complete", True, f"{comparison.rows:,} gate rows{overlap}, which took {decisions} before{changed}")
    return _check("complete", False, wrong)


def _check_finite(comparison: Comparison) -> GateCheck:
    numbers = dict(_find_numbers(comparison.model_dump(), "comparison"))
    for path, number in numbers.items():
        if not math.isfinite(number):
            return _check("finite", False, f"{path} is {number}, and no number that is not finite shows anything")
    return _check("finite", True, f"all {len(numbers)} figures are finite")


def _check_floors(challenger: Standing, floors: Mapping[Metric, float]) -> GateCheck:
    for name, floor in floors.items():
        value = challenger.metrics.get(name, math.nan)
        if not value >= floor:
            return _check(
                "floors", False, f"{name} {_beside(value, floor)} of version {challenger.version} is below the floor {floor:g}"
            )
    figures = ", ".join(f"{name} {_beside(challenger.metrics[name], floor)} >= {floor:g}" for name, floor in floors.items())
    return _check("floors", True, f"every floor is reached ({figures})")


def _check_calibration(challenger: Standing, gate: GateConfig) -> GateCheck:
    error, bound = challenger.calibration_error, gate.max_calibration_error
    passed = 0 <= error <= bound
    return _check(
        "calibration", passed, f"calibration error {_beside(error, bound)} is {'within' if passed else 'not within'} {bound:g}"
    )


def _check_latency(challenger: Standing, champion: Standing, gate: GateConfig) -> GateCheck:
    ours, theirs = challenger.latency_milliseconds, champion.latency_milliseconds
    passed = 0 < ours <= gate.max_latency_ratio * theirs
    return _check(
        "latency",
        passed,
        f"latency {ours:.3g} ms of version {challenger.version} is {'within' if passed else 'not within'} "
        f"{gate.max_latency_ratio:g} times the {theirs:.3g} ms of version {champion.version}",
    )


def _check_size(challenger: Standing, champion: Standing, gate: GateConfig) -> GateCheck:
    passed = 0 < challenger.bytes <= gate.max_size_ratio * champion.bytes
    return _check(
        "size",
        passed,
        f"size {challenger.bytes:,} bytes of version {challenger.version} is {'within' if passed else 'not within'} "
        f"{gate.max_size_ratio:g} times the {champion.bytes:,} of version {champion.version}",
    )


def _check_slices(slices: tuple[PairedAccuracy, ...], gate: GateConfig) -> GateCheck:
    worst = min(slices, key=lambda part: part.gain.high)
    passed = worst.gain.high >= -gate.slice_margin
    told = f"'{worst.name}', {worst.rows:,} rows, gains {_tell_gain(worst.gain)}"
    if passed:
        sentence = f"none of {len(slices)} slices is shown to lose more than {_points(gate.slice_margin)} points ({told})"
    else:
        sentence = f"a slice is shown to lose more than {_points(gate.slice_margin)} points ({told})"
    return _check("slices", passed, sentence)


def _check_high_water(accuracy: float, mark: HighWaterMark, gate: GateConfig) -> GateCheck:
    passed = accuracy >= mark.accuracy - gate.non_inferiority_margin
    below = (
        f"{'not ' if passed else ''}more than {_points(gate.non_inferiority_margin)} points below the best that was promoted"
    )
    return _check(
        "high-water mark", passed, f"accuracy {accuracy:.2%} is {below}, {mark.accuracy:.2%} of version {mark.version}"
    )


def _check_gain(comparison: Comparison, gain: Interval, p_value: float, gate: GateConfig) -> GateCheck:
    required, margin = gate.required_gain, gate.non_inferiority_margin
    if gate.promote_if == "better":
        # As a sum: 1 - 0.95 is rounded up, and a p of 0.05 would be below it.
        shown = p_value >= 0 and p_value + gate.confidence < 1 and gain.low > required
        aim = f"a gain of more than {_points(required)} points" if required else "a gain"
    else:
        required = -margin
        shown = gain.low > required
        aim = f"no loss of more than {_points(margin)} points"
    told = f"({_tell_evidence(comparison, gain, p_value)})"
    if shown:
        return _check("gain", True, f"{aim} is shown {told}")
    if gain.high < required:
        return _check("gain", False, f"{aim} is ruled out {told}")
    version = comparison.challenger.version
    worse = f"{'is shown not to' if gain.low > -margin else 'may'} be worse by more than {_points(margin)} points"
    return _check("gain", None, f"{aim} is neither shown nor ruled out {told}, and version {version} {worse}")


def _check_noise(gain: Interval, noise: SeedNoise, gate: GateConfig) -> GateCheck:
    passed = gain.value >= gate.noise_multiple * noise.spread
    return _check(
        "seed noise",
        passed or None,
        f"the gain of {_points(gain.value)} points {'reaches' if passed else 'does not reach'} {gate.noise_multiple:g} times "
        f"the {_points(noise.spread)} by which seeds alone differ",
    )


def _conclude(comparison: Comparison, checks: tuple[GateCheck, ...]) -> Verdict:
    version, champion, accuracy = comparison.challenger.version, comparison.champion, comparison.accuracy
    failed = [check for check in checks if check.passed is False]
    unsure = [check for check in checks if check.passed is None]
    if champion is None:
        if failed:
            return Verdict(outcome="keep", reason=f"Version {version} stays challenger: {_clause(failed[0])}.", checks=checks)
        crown = "the first champion" if comparison.high_water is None else "champion, where there was none,"
        reasons = ", and ".join(_clause(check) for check in checks[2:])
        reason = f"Version {version} becomes {crown} on {comparison.rows:,} gate rows: {reasons}."
        return Verdict(outcome="promote", reason=reason, checks=checks)
    stays = f"Version {champion.version} stays champion"
    if accuracy is None or comparison.p_value is None or not all(check.passed for check in checks[:2]):
        return Verdict(outcome="keep", reason=f"{stays} over version {version}: {_clause(failed[0])}.", checks=checks)
    figures = (
        f"accuracy {accuracy.challenger:.2%} against {accuracy.champion:.2%} of version {champion.version} "
        f"on {comparison.rows:,} gate rows"
    )
    if [*failed, *unsure, *checks][0].name != "gain":
        figures += f", gain {_tell_evidence(comparison, accuracy.gain, comparison.p_value)}"
    if comparison.noise is not None:
        figures += f", seed noise {_points(comparison.noise.spread)} points"
    if failed:
        reason = f"{stays} over version {version}: {_clause(failed[0])}; {figures}."
        return Verdict(outcome="keep", reason=reason, checks=checks)
    if unsure:
        reason = f"{stays}, undecided on version {version}: {_clause(unsure[0])}; {figures}."
        return Verdict(outcome="undecided", reason=reason, checks=checks)
    return Verdict(outcome="promote", reason=f"Version {version} becomes champion: {figures}.", checks=checks)


def _find_numbers(value: Any, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield path, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _find_numbers(part, f"{path}.{key}")
    elif isinstance(value, tuple):
        for number, part in enumerate(value):
            yield from _find_numbers(part, f"{path}[{number}]")


def _check(name: str, passed: bool | None, clause: str) -> GateCheck:
    return GateCheck(name=name, passed=passed, sentence=f"{clause[0].upper()}{clause[1:]}.")


def _clause(check: GateCheck) -> str:
    return check.sentence[0].lower() + check.sentence[1:-1]


def _tell_gain(gain: Interval) -> str:
    return f"{_points(gain.value)} points [{_points(gain.low)}, {_points(gain.high)}]"


def _tell_evidence(comparison: Comparison, gain: Interval, p_value: float) -> str:
    told = "below 0.0001" if p_value < 0.0001 else f"{p_value:.4f}"
    return f"{_tell_gain(gain)}, McNemar p {told} ({comparison.test})"


def _beside(value: float, bound: float) -> str:
    """Return a figure in four digits, or in six where it would look like its bound and is not."""
    return f"{value:.4g}" if value == bound or float(f"{value:.4g}") != bound else f"{value:.6g}"


def _points(share: float) -> str:
    # z: a loss too small to show is written 0.00, without a sign.
    return f"{100 * share:z.2f}"
