"""Whether new reviews are like the reference, signal by signal and all together."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.monitoring import MonitoringConfig
from tasks.evaluation.intervals import wilson_interval
from tasks.handles import Drift, DriftSignal
from tasks.monitoring.profile import Profile
from tasks.monitoring.statistics import compare_shares, compare_values, compare_vocabularies, detectable_fall


class Measured(NamedTuple):
    """A signal before it is judged; the fields are those of `DriftSignal`."""

    name: str
    figure: str
    reference: float
    new: float
    measure: str
    size: float
    threshold: float
    p_value: float


def compare_profiles(model: str, version: str, reference: Profile, new: Profile, monitoring: MonitoringConfig) -> Drift:
    """Compare new reviews with the reference of a version; too few of either are told, and never taken for no drift."""
    told: dict[str, Any] = {"model": model, "version": version, "rows": new.rows, "reference_rows": reference.rows}
    counted = ((new.rows, "new reviews"), (reference.rows, "reviews in the reference"))
    short = [f"{rows:,} {what}" for rows, what in counted if rows < monitoring.min_rows]
    if short:
        sentence = f"not enough rows: {' and '.join(short)}, and fewer than {monitoring.min_rows} tell nothing (min_rows)"
        return Drift(**told, outcome="not enough rows", sentence=sentence, signals=(), accuracy=None, detectable_drop=None)
    measured = list(measure_signals(reference, new, monitoring))
    # Bonferroni: however the signals hang together, all of them alarm by chance in no larger share of samples.
    level = monitoring.false_alarm_rate / len(measured)
    signals = tuple(judge_signal(one, level) for one in measured)
    drifted = [signal for signal in signals if signal.outcome == "drift"]
    accuracy, detectable, unknown = None, None, "; without labels, label balance and accuracy are not known"
    if new.labels is not None:
        accuracy, unknown = wilson_interval(int((new.labels == new.predicted).sum()), new.rows, monitoring.confidence), ""
        fall = detectable_fall(signals[-1].reference, reference.rows, new.rows, level)
        detectable = max(fall, monitoring.accuracy_drop)
    return Drift(
        **told,
        outcome="drift" if drifted else "no drift",
        sentence=write_sentence(drifted or signals, new.rows, drifted=bool(drifted)) + unknown,
        signals=signals,
        accuracy=accuracy,
        detectable_drop=detectable,
    )


def measure_signals(reference: Profile, new: Profile, monitoring: MonitoringConfig) -> Iterator[Measured]:
    """Yield every signal for which there are figures; with labels, label balance and accuracy come last."""
    values: tuple[tuple[str, str, NDArray[Any], NDArray[Any], Any], ...] = (
        ("length", "median words", reference.words, new.words, np.median),
        ("unknown words", "mean share of the words read", reference.unknown, new.unknown, np.mean),
        ("score", "mean probability", reference.probabilities, new.probabilities, np.mean),
    )
    for name, figure, before, after, typical in values:
        found = compare_values(before, after)
        figures = (figure, float(typical(before)), float(typical(after)))
        yield Measured(name, *figures, "population stability index", found.size, monitoring.stability_index, found.p_value)
    words = compare_vocabularies(reference.word_counts, new.word_counts, resamples=monitoring.resamples, seed=monitoring.seed)
    yield Measured(
        "vocabulary",
        "Jensen-Shannon divergence in bits",
        words.expected,
        words.divergence,
        "bits above the expected",
        words.divergence - words.expected,
        monitoring.vocabulary_bits,
        words.p_value,
    )
    if reference.labels is None or new.labels is None:
        return
    rows = (reference.rows, new.rows)
    positive = (int(reference.labels.sum()), int(new.labels.sum()))
    right = (int((reference.labels == reference.predicted).sum()), int((new.labels == new.predicted).sum()))
    old, now = (count / of for count, of in zip(positive, rows, strict=True))
    found = compare_shares(positive, rows)
    figure = "share of positive labels"
    yield Measured("label balance", figure, old, now, "difference", found.size, monitoring.label_balance, found.p_value)
    old, now = (count / of for count, of in zip(right, rows, strict=True))
    found = compare_shares(right, rows, lower_only=True)
    yield Measured("accuracy", "accuracy", old, now, "drop", found.size, monitoring.accuracy_drop, found.p_value)


def judge_signal(measured: Measured, level: float) -> DriftSignal:
    """Return whether a signal is drift: significant at its level and large, or not known to be neither."""
    known = math.isfinite(measured.size) and math.isfinite(measured.p_value)
    drift = not known or (measured.p_value <= level and measured.size >= measured.threshold)
    return DriftSignal.model_validate({**measured._asdict(), "level": level, "outcome": "drift" if drift else "no drift"})


def write_sentence(signals: Sequence[DriftSignal], rows: int, *, drifted: bool) -> str:
    """Return in one sentence what was found in so many new reviews, with the figures of the signals."""
    return f"{'drift' if drifted else 'no drift'} in {rows:,} new reviews: {', '.join(describe_signal(one) for one in signals)}"


def describe_signal(signal: DriftSignal) -> str:
    """Return a signal's name with its figures."""
    found = f"{signal.measure} {signal.size:.2g}, threshold {signal.threshold:g}, p {signal.p_value:.2g}"
    if signal.outcome == "no drift":
        return f"{signal.name} ({found})"
    return f"{signal.name} ({signal.figure} {signal.new:.3g} after {signal.reference:.3g}; {found})"
