import numpy as np
import pytest

from configs.monitoring import MonitoringConfig
from tasks.evaluation.figures import save_figures
from tasks.handles import NewReviews, TrackedRun
from tasks.monitoring.comparison import compare_profiles
from tasks.monitoring.figures import draw_figures
from tasks.monitoring.profile import make_profile
from tasks.monitoring.report import list_signals, write_report
from tests.monitoring.reviews import VOCABULARY_SIZE, draw_reviews

WORDS = [f"word{rank}" for rank in range(1, VOCABULARY_SIZE - 3)]
REFERENCE = make_profile(*draw_reviews(300), VOCABULARY_SIZE)
NEW = make_profile(*draw_reviews(200, seed=1, length=3.0, first_word=20), VOCABULARY_SIZE)


@pytest.fixture(scope="module")
def figures():
    return draw_figures(REFERENCE, NEW, WORDS)


def test_both_distributions_are_drawn_whole_with_their_rows(figures):
    assert list(figures) == ["lengths", "unknown_words", "scores", "vocabulary"]
    for name in ("unknown_words", "scores"):
        (axes,) = figures[name].axes
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["reference (300)", "new reviews (200)"]
        outlines = [patch for patch in axes.patches if patch.get_label().endswith(")")]
        assert [patch.get_data().values.sum() for patch in outlines] == [pytest.approx(1)] * 2
        assert (axes.get_title() != "", axes.get_xlabel() != "", axes.get_ylabel() != "") == (True,) * 3


def test_the_words_that_became_more_and_less_are_named(figures):
    more, less = ([text.get_text() for text in axes.get_yticklabels()] for axes in figures["vocabulary"].axes)
    assert "word18" in more, "the commonest word of the new reviews has id 21"
    assert "word2" in less
    assert not set(more) & set(less)


def test_they_are_written_as_images_whatever_the_values(tmp_path):
    constant = NEW._replace(probabilities=np.full(200, 0.5, np.float32), unknown=np.zeros(200, np.float32))
    save_figures(draw_figures(constant, constant, WORDS), tmp_path)
    assert len(list(tmp_path.glob("*.png"))) == 4


@pytest.mark.parametrize("labelled", [True, False])
def test_the_report_tells_the_outcome_the_figures_and_where_they_come_from(labelled):
    new = NEW if labelled else NEW._replace(labels=None)
    monitoring = MonitoringConfig()
    drift = compare_profiles("films-lstm", "3", REFERENCE, new, monitoring)
    reviews = NewReviews(path="", sha256="", source="a|b.csv", available=5000, rows=200, labelled=labelled)
    run = TrackedRun(run_id="r1", experiment_id="1", experiment="films-monitoring", name="m", folder="", url=None)
    report = write_report(drift, reviews, monitoring, run)
    assert report.startswith("# Monitoring of films-lstm version 3: drift\n\ndrift in 200 new reviews: ")
    assert "a\\|b.csv, 5,000 rows, 200 of them drawn by their content, " + ("with" if labelled else "without") in report
    assert ("Accuracy on the new reviews" in report) is labelled
    assert all(f"| {row['signal']} | {row['outcome']} |" in report for row in list_signals(drift))
    few = compare_profiles("films-lstm", "3", REFERENCE, make_profile(*draw_reviews(5), VOCABULARY_SIZE), monitoring)
    assert "not enough rows" in write_report(few, reviews, monitoring, run)
