"""Figures of a training and of a model's scores, each a matplotlib Figure of 800 by 600 pixels.

They are made without pyplot: it keeps global state, which neither threads nor a long-lived worker can share.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay, RocCurveDisplay

from tasks.evaluation.intervals import wilson_interval
from tasks.evaluation.metrics import Confusion, count_confusion
from tasks.evaluation.scores import Labels, Probabilities
from tasks.handles import Interval

DPI = 100
SIZE = (8.0, 6.0)

# Okabe and Ito's palette, told apart under every common colour blindness.
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#6E6E6E"
CLASS_COLORS = {"negative": VERMILION, "positive": BLUE}

CALIBRATION_BINS = 10
HISTOGRAM_BINS = 40
MOST_EPOCH_TICKS = 15


def draw_figures(
    history: Mapping[str, Sequence[float]],
    labels: Labels,
    probabilities: Probabilities,
    metrics: Mapping[str, Interval],
    *,
    threshold: float,
) -> dict[str, Figure]:
    """Draw every figure of an evaluation.

    Args:
        history: Values by epoch: loss, accuracy and, with a validation split, val_loss and val_accuracy.
        labels: 0 or 1, both among them, (rows,).
        probabilities: Of the positive class, (rows,).
        metrics: From `measure`, on the same rows.
        threshold: Rows of at least this probability are predicted positive.

    Returns:
        Figures by name: learning_curves, roc, precision_recall, calibration, confusion_matrix and score_histogram.
    """
    return {
        "learning_curves": draw_learning_curves(history),
        "roc": draw_roc(labels, probabilities, metrics["roc_auc"], threshold=threshold),
        "precision_recall": draw_precision_recall(labels, probabilities, metrics["average_precision"], threshold=threshold),
        "calibration": draw_calibration(labels, probabilities),
        "confusion_matrix": draw_confusion_matrix(count_confusion(labels, probabilities, threshold)),
        "score_histogram": draw_score_histogram(labels, probabilities, threshold=threshold),
    }


def save_figures(figures: Mapping[str, Figure], folder: Path) -> None:
    """Write each figure as `<name>.png` into a folder, which is made if need be; equal figures give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=DPI, metadata={"Software": None})


def draw_learning_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Draw loss and accuracy by epoch, for the training rows and, where there are any, the validation rows."""
    figure = new_figure()
    upper, lower = figure.subplots(2, 1, sharex=True)
    epochs = range(1, len(history["loss"]) + 1)
    for axes, name in ((upper, "loss"), (lower, "accuracy")):
        for key, label, color, marker in ((name, "train", BLUE, "o"), (f"val_{name}", "validation", VERMILION, "s")):
            if key in history:
                axes.plot(epochs, history[key], color=color, marker=marker, markersize=5, linewidth=2, label=label)
        axes.margins(x=0.04, y=0.12)
        axes.legend(loc="best")
    lower.set_xlim(0.5, len(epochs) + 0.5)
    lower.set_xticks(epochs[:: ceil(len(epochs) / MOST_EPOCH_TICKS)])
    lower.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=None))
    name_axes(upper, "Learning curves", "", "loss (nats per review)")
    name_axes(lower, "", "epoch", "accuracy")
    return figure


def draw_roc(labels: Labels, probabilities: Probabilities, auc: Interval, *, threshold: float) -> Figure:
    """Draw the ROC curve, with the point at the threshold."""
    figure, axes = new_axes()
    (_, false_positives), (_, true_positives) = confusion = count_confusion(labels, probabilities, threshold)
    RocCurveDisplay.from_predictions(
        labels,
        probabilities,
        ax=axes,
        curve_kwargs={"color": BLUE, "linewidth": 2, "label": _describe("AUC", auc)},
        plot_chance_level=True,
        chance_level_kw={"color": GREY, "linestyle": "--", "label": "chance"},
    )
    _mark(axes, false_positives / sum(confusion[0]), true_positives / sum(confusion[1]), threshold)
    _make_square(axes)
    name_axes(
        axes, "ROC curve", "false positive rate (share of negative reviews)", "true positive rate (share of positive reviews)"
    )
    axes.legend(loc="lower right")
    return figure


def draw_precision_recall(
    labels: Labels, probabilities: Probabilities, average_precision: Interval, *, threshold: float
) -> Figure:
    """Draw precision against recall, with the point at the threshold where anything is predicted positive."""
    figure, axes = new_axes()
    (_, false_positives), (misses, true_positives) = count_confusion(labels, probabilities, threshold)
    PrecisionRecallDisplay.from_predictions(
        labels,
        probabilities,
        ax=axes,
        drop_intermediate=True,
        curve_kwargs={"color": BLUE, "linewidth": 2, "label": _describe("average precision", average_precision)},
        plot_chance_level=True,
        chance_level_kw={"color": GREY, "linestyle": "--", "label": "chance (share of positive reviews)"},
    )
    if true_positives + false_positives:
        precision = true_positives / (true_positives + false_positives)
        _mark(axes, true_positives / (true_positives + misses), precision, threshold)
    _make_square(axes)
    name_axes(
        axes, "Precision and recall", "recall (share of positive reviews found)", "precision (share of findings that are right)"
    )
    axes.legend(loc="lower left")
    return figure


def draw_calibration(labels: Labels, probabilities: Probabilities) -> Figure:
    """Draw the observed share of positive reviews against the predicted one, and how many reviews each point stands for.

    Bars around the points are 95 % Wilson intervals.
    """
    figure = new_figure()
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    display = CalibrationDisplay.from_predictions(
        labels,
        probabilities,
        n_bins=CALIBRATION_BINS,
        ax=upper,
        name="model, with 95 % intervals",
        color=BLUE,
        linewidth=2,
        ref_line=False,
    )
    # The same edges and sides as scikit-learn's, which leaves empty bins out.
    bins = np.searchsorted(edges[1:-1], probabilities)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)
    found = np.bincount(bins, weights=labels, minlength=CALIBRATION_BINS).astype(int)
    intervals = [wilson_interval(int(k), int(n), 0.95) for k, n in zip(found, counts, strict=True) if n]
    below_above = [[i.value - i.low for i in intervals], [i.high - i.value for i in intervals]]
    upper.errorbar(display.prob_pred, display.prob_true, yerr=below_above, fmt="none", color=BLUE, capsize=4)
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="perfectly calibrated")
    upper.set_ylim(-0.03, 1.03)
    upper.legend(loc="upper left")
    lower.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=BLUE, edgecolor="white")
    lower.set_xlim(-0.03, 1.03)
    lower.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    lower.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    name_axes(upper, "Calibration", "", "observed share of positive reviews")
    name_axes(lower, "", "predicted probability of a positive review", "reviews")
    return figure


def draw_confusion_matrix(confusion: Confusion) -> Figure:
    """Draw the confusion matrix: counts, and shares of each actual class, which also give the colour."""
    figure, axes = new_axes()
    counts = np.array(confusion)
    shares = counts / counts.sum(axis=1, keepdims=True)
    display = ConfusionMatrixDisplay(shares, display_labels=list(CLASS_COLORS))
    display.plot(ax=axes, cmap="Blues", include_values=False, im_kw={"vmin": 0, "vmax": 1}, colorbar=False)
    for (actual, predicted), count in np.ndenumerate(counts):
        share = shares[actual, predicted]
        text = f"{count:,}\n{share:.1%} of {list(CLASS_COLORS)[actual]}"
        axes.text(predicted, actual, text, ha="center", va="center", fontsize=14, color="white" if share > 0.5 else "black")
    bar = figure.colorbar(display.im_, ax=axes, label="share of the actual class")
    bar.ax.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.tick_params(axis="y", labelrotation=90)
    for label in axes.get_yticklabels():
        label.set_verticalalignment("center")
    name_axes(axes, f"Confusion matrix of {counts.sum():,} reviews", "predicted class", "actual class")
    axes.grid(visible=False)
    return figure


def draw_score_histogram(labels: Labels, probabilities: Probabilities, *, threshold: float) -> Figure:
    """Draw how many reviews of each class get which probability, with the threshold."""
    figure, axes = new_axes()
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    for label, (name, color) in enumerate(CLASS_COLORS.items()):
        scores = probabilities[labels == label]
        counts, _ = np.histogram(scores, edges)
        axes.stairs(counts, edges, fill=True, color=color, alpha=0.25)
        axes.stairs(counts, edges, color=color, linewidth=2, label=f"{name} ({scores.size:,} reviews)")
    axes.axvline(threshold, color="black", linestyle=":", linewidth=1.5, label=f"threshold {threshold:g}")
    axes.set_xlim(0, 1)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    width = f"{1 / HISTOGRAM_BINS:g}"
    name_axes(
        axes, "Scores by actual class", "predicted probability of a positive review", f"reviews per {width} of probability"
    )
    axes.legend(loc="best")
    return figure


def new_figure() -> Figure:
    """Return an empty figure."""
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_axes() -> tuple[Figure, Axes]:
    """Return a figure with one plot."""
    figure = new_figure()
    return figure, figure.subplots()


def name_axes(axes: Axes, title: str, x: str, y: str) -> None:
    """Give a plot its title, its axes' names and the look of all plots."""
    axes.set_title(title, fontsize=14)
    axes.set_xlabel(x, fontsize=12)
    axes.set_ylabel(y, fontsize=12)
    axes.grid(visible=True, color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _make_square(axes: Axes) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")


def _mark(axes: Axes, x: float, y: float, threshold: float) -> None:
    axes.plot([x], [y], "o", color=VERMILION, markersize=9, label=f"threshold {threshold:g}")


def _describe(name: str, interval: Interval) -> str:
    return f"{name} {interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"
