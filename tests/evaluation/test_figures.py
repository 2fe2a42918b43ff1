import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest

from tasks.evaluation.figures import draw_calibration, draw_confusion_matrix, draw_figures, draw_learning_curves, save_figures
from tasks.evaluation.metrics import measure

NAMES = ["learning_curves", "roc", "precision_recall", "calibration", "confusion_matrix", "score_histogram"]
HISTORY = {
    "loss": (0.52, 0.33, 0.26),
    "accuracy": (0.74, 0.86, 0.9),
    "val_loss": (0.4, 0.33, 0.31),
    "val_accuracy": (0.83, 0.86, 0.87),
}


def draw_all(labels, probabilities, history=HISTORY):
    metrics = measure(labels, probabilities, threshold=0.5, confidence=0.95, bootstrap_samples=100, seed=0)
    return draw_figures(history, labels, probabilities, metrics, threshold=0.5)


@pytest.fixture(scope="module")
def figures(scored_rows):
    return draw_all(*scored_rows)


def texts_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_each_figure_has_a_title_and_named_axes(figures):
    assert list(figures) == NAMES
    for figure in figures.values():
        assert figure.axes[0].get_title()
        assert all(axes.get_ylabel() for axes in figure.axes)
        assert any(axes.get_xlabel() for axes in figure.axes)


def test_figures_are_written_as_readable_images_that_show_something(figures, tmp_path):
    save_figures(figures, tmp_path / "figures")
    assert sorted(path.stem for path in (tmp_path / "figures").iterdir()) == sorted(NAMES)
    for path in (tmp_path / "figures").iterdir():
        pixels = matplotlib.image.imread(path)[:, :, :3]
        assert pixels.shape == (600, 800, 3)
        assert 0.02 < (pixels.min(axis=2) < 0.9).mean() < 0.9
        saturation = pixels.max(axis=2) - pixels.min(axis=2)
        assert (saturation > 0.3).sum() > 500, "no coloured mark"


def test_the_same_figure_gives_the_same_bytes(scored_rows, tmp_path):
    for copy in ("a", "b"):
        save_figures({"calibration": draw_calibration(*scored_rows)}, tmp_path / copy)
    first, second = ((tmp_path / copy / "calibration.png").read_bytes() for copy in ("a", "b"))
    assert first == second


@pytest.mark.parametrize(("epochs", "ticks"), [(1, [1]), (5, [1, 2, 3, 4, 5]), (40, list(range(1, 41, 3)))])
def test_epochs_are_whole_and_start_from_one(epochs, ticks):
    figure = draw_learning_curves({name: np.linspace(0.4, 0.9, epochs).tolist() for name in HISTORY})
    figure.draw_without_rendering()
    assert figure.axes[1].get_xticks().tolist() == ticks
    for axes in figure.axes:
        assert texts_of(axes) == ["train", "validation"]
        assert all(line.get_xdata()[0] == 1 for line in axes.get_lines())


def test_learning_curves_do_without_validation():
    figure = draw_learning_curves({"loss": [0.5, 0.4], "accuracy": [0.8, 0.9]})
    assert [texts_of(axes) for axes in figure.axes] == [["train"], ["train"]]


def test_curves_tell_their_area_and_show_the_threshold(scored_rows, figures):
    labels, probabilities = scored_rows
    metrics = measure(labels, probabilities, threshold=0.5, confidence=0.95, bootstrap_samples=100, seed=0)
    for name, metric, (x, y) in (
        ("roc", "roc_auc", (1 - np.mean(probabilities[labels == 0] < 0.5), metrics["recall"].value)),
        ("precision_recall", "average_precision", (metrics["recall"].value, metrics["precision"].value)),
    ):
        (axes,) = figures[name].axes
        assert f"{metrics[metric].value:.3f}" in texts_of(axes)[0]
        (point,) = (line for line in axes.get_lines() if line.get_label() == "threshold 0.5")
        assert point.get_xydata().tolist() == [pytest.approx([x, y])]


def test_calibration_counts_every_review_once(scored_rows, figures):
    bars = figures["calibration"].axes[1].patches
    assert sum(bar.get_height() for bar in bars) == scored_rows[0].size


def test_calibration_copes_with_empty_bins_and_scores_at_the_edges():
    labels = np.array([0, 0, 1, 1, 1])
    figure = draw_calibration(labels, np.array([0.0, 0.1, 0.1, 0.95, 1.0]))
    heights = [bar.get_height() for bar in figure.axes[1].patches]
    assert heights == [3, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    curve = next(line for line in figure.axes[0].get_lines() if line.get_label().startswith("model"))
    assert curve.get_ydata() == pytest.approx([1 / 3, 1])


def test_the_confusion_matrix_shows_counts_and_shares_of_each_class():
    figure = draw_confusion_matrix(((90, 10), (1, 1999)))
    assert [text.get_text() for text in figure.axes[0].texts] == [
        "90\n90.0% of negative",
        "10\n10.0% of negative",
        "1\n0.1% of positive",
        "1,999\n100.0% of positive",
    ]


def test_a_model_that_finds_nothing_can_be_drawn(tmp_path):
    labels = np.array([0, 1, 0, 1])
    figures = draw_all(labels, np.full(4, 0.25), {"loss": [0.7], "accuracy": [0.5]})
    save_figures(figures, tmp_path)
    assert "threshold 0.5" not in texts_of(figures["precision_recall"].axes[0])


def test_no_figure_is_left_open_in_pyplot(scored_rows):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    draw_all(*scored_rows)
    assert plt.get_fignums() == before


def test_importing_the_figures_leaves_pyplot_alone():
    code = "import sys, tasks.evaluation.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
