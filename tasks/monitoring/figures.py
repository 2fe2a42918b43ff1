"""Figures of new reviews beside the reference."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from scipy.special import rel_entr

from tasks.evaluation.figures import BLUE, VERMILION, name_axes, new_axes, new_figure
from tasks.monitoring.profile import Profile
from tasks.served_model import FIRST_WORD_ID

BINS = 40
WORDS = 15
SHOWN_LENGTHS = 0.99
"""Share of the reviews whose length is shown; a few are many times as long as the others."""


def draw_figures(reference: Profile, new: Profile, words: Sequence[str]) -> dict[str, Figure]:
    """Draw the distributions of both, by name: lengths, unknown_words, scores and vocabulary.

    Args:
        reference: at least one row.
        new: at least one row.
        words: of the vocabulary by rank, from rank 1 on.
    """
    longest = max(np.quantile(profile.words, SHOWN_LENGTHS) for profile in (reference, new)) + 1
    most_unknown = max(float(profile.unknown.max()) for profile in (reference, new)) + 0.01
    lengths, unknown = (reference.words, new.words), (reference.unknown, new.unknown)
    scores = (reference.probabilities, new.probabilities)
    return {
        "lengths": draw_distributions(*lengths, longest, "Length", "words of a review"),
        "unknown_words": draw_distributions(
            *unknown, most_unknown, "Unknown words", "share of a review's words that are not in the vocabulary"
        ),
        "scores": draw_distributions(*scores, 1, "Scores", "predicted probability of a positive review"),
        "vocabulary": draw_vocabulary(reference, new, words),
    }


def draw_distributions(reference: NDArray[Any], new: NDArray[Any], upper: float, title: str, quantity: str) -> Figure:
    """Draw what share of the rows of each falls into which bin from 0 to `upper`."""
    figure, axes = new_axes()
    edges = np.linspace(0, upper, BINS + 1)
    for name, values, color in (("reference", reference, BLUE), ("new reviews", new, VERMILION)):
        shares = np.histogram(values, edges)[0] / len(values)
        axes.stairs(shares, edges, fill=True, color=color, alpha=0.25)
        axes.stairs(shares, edges, color=color, linewidth=2, label=f"{name} ({len(values):,})")
    axes.set_xlim(0, upper)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=None))
    name_axes(axes, title, quantity, f"share of the reviews in each of {BINS} bins")
    axes.legend(loc="best")
    return figure


def draw_vocabulary(reference: Profile, new: Profile, words: Sequence[str]) -> Figure:
    """Draw the words that add most to the divergence of word frequencies, those that became more and those that became less."""
    old, now = (np.asarray(profile.word_counts.sum(axis=0), dtype=float) + 0.5 for profile in (reference, new))
    old, now = old / old.sum(), now / now.sum()
    share = rel_entr(old, (old + now) / 2) + rel_entr(now, (old + now) / 2)
    figure = new_figure()
    for axes, sign, title in zip(figure.subplots(1, 2), (1, -1), ("more in the new reviews", "less"), strict=True):
        signed = np.where((now - old) * sign > 0, share, 0)
        known = range(FIRST_WORD_ID, min(len(share), FIRST_WORD_ID + len(words)))
        top = sorted(known, key=lambda one: -signed[one])[:WORDS]
        places = np.arange(len(top))
        for color, frequencies, shift, name in ((BLUE, old, 0.2, "reference"), (VERMILION, now, -0.2, "new reviews")):
            axes.barh(places + shift, 1000 * frequencies[top], height=0.4, color=color, label=name)
        axes.set_yticks(places, [words[one - FIRST_WORD_ID] for one in top])
        axes.invert_yaxis()
        name_axes(axes, title.capitalize(), "times in 1,000 known words", "")
    axes.legend(loc="lower right")
    return figure
