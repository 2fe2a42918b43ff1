"""What a network gains over the linear model, or loses to it: in one sentence, and as Markdown."""

from collections.abc import Mapping

from tasks.handles import BaselineComparison, Interval
from tasks.markdown import table
from tasks.titles import METRIC_TITLES

LINEAR_MODEL = "a linear model of words and word pairs"


def tell_gain(comparison: BaselineComparison) -> str:
    """Return in one sentence whether the network is shown to be better or worse than the linear model, and by how much."""
    pair = comparison.accuracy
    shares = f"{pair.challenger:.2%} against {pair.champion:.2%}"
    rows = f"on {pair.rows:,} gate rows"
    if pair.gain.high < 0:
        worse = Interval(value=-pair.gain.value, low=-pair.gain.high, high=-pair.gain.low)
        return f"The LSTM loses to {LINEAR_MODEL} by {_points(worse)} {rows}: {shares}."
    if pair.gain.low > 0:
        return f"The LSTM beats {LINEAR_MODEL} by {_points(pair.gain)} {rows}: {shares}."
    return (
        f"Neither the LSTM nor {LINEAR_MODEL} is shown to be better {rows}: {shares}, "
        f"a difference of {_points(pair.gain, '+')}."
    )


def baseline_lines(comparison: BaselineComparison, metrics: Mapping[str, float]) -> list[str]:
    """Return the sentence, both models' figures, and what the linear model is, as lines of Markdown.

    Args:
        comparison: of the network with the linear model.
        metrics: the network's, with those of `comparison.metrics` among them.
    """
    figures = [
        [METRIC_TITLES[name], f"{metrics[name]:.4f}", f"{value:.4f}"]
        for name, value in comparison.metrics.items()
        if name in metrics
    ]
    learnt = f"{comparison.learnt_rows:,}" + (
        f" of the {comparison.train_rows:,}" if comparison.learnt_rows < comparison.train_rows else ""
    )
    return [
        f"**{tell_gain(comparison)}**",
        "",
        *table(["on the gate rows", "LSTM", "linear model"], figures),
        "",
        f"The linear model: logistic regression on {comparison.ngrams:,} words and word pairs of {learnt} train reviews, "
        "by their naive Bayes log-count ratios. The gate does not ask for it.",
    ]


def _points(share: Interval, sign: str = "") -> str:
    value, low, high = (f"{100 * figure:{sign}.2f}" for figure in (share.value, share.low, share.high))
    return f"{value} points of accuracy [{low}, {high}]"
