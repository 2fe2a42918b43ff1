import pytest

from tasks.baseline_report import baseline_lines, tell_gain
from tasks.handles import BaselineComparison, Interval, PairedAccuracy


def comparison(gain, low, high, learnt_rows=20_000):
    pair = PairedAccuracy(
        name="all",
        rows=20_000,
        challenger=0.9 + gain,
        champion=0.9,
        only_challenger=1,
        only_champion=1,
        gain=Interval(value=gain, low=low, high=high),
    )
    metrics = {"accuracy": 0.9, "roc_auc": 0.97, "loss": 0.21}
    return BaselineComparison(metrics=metrics, accuracy=pair, train_rows=20_000, learnt_rows=learnt_rows, ngrams=371_758)


@pytest.mark.parametrize(
    ("gain", "told"),
    [
        (
            (-0.049, -0.055, -0.043),
            "The LSTM loses to a linear model of words and word pairs by 4.90 points of accuracy [4.30, 5.50] "
            "on 20,000 gate rows: 85.10% against 90.00%.",
        ),
        (
            (0.01, 0.005, 0.015),
            "The LSTM beats a linear model of words and word pairs by 1.00 points of accuracy [0.50, 1.50] "
            "on 20,000 gate rows: 91.00% against 90.00%.",
        ),
        (
            (-0.01, -0.02, 0.0),
            "Neither the LSTM nor a linear model of words and word pairs is shown to be better on 20,000 gate rows: "
            "89.00% against 90.00%, a difference of -1.00 points of accuracy [-2.00, +0.00].",
        ),
    ],
)
def test_who_wins_is_told_where_it_is_shown(gain, told):
    assert tell_gain(comparison(*gain)) == told


def test_the_lines_show_both_models_and_what_the_linear_one_is():
    ours = {"accuracy": 0.85, "roc_auc": 0.93, "loss": 0.35, "f1": 0.8}
    lines = baseline_lines(comparison(-0.05, -0.06, -0.04), ours)
    assert lines[0] == f"**{tell_gain(comparison(-0.05, -0.06, -0.04))}**"
    assert "| Accuracy | 0.8500 | 0.9000 |" in lines
    assert "| ROC AUC | 0.9300 | 0.9700 |" in lines
    assert "| Loss | 0.3500 | 0.2100 |" in lines
    assert "on 371,758 words and word pairs of 20,000 train reviews," in lines[-1]
    assert "of 10,000 of the 20,000 train reviews," in baseline_lines(comparison(0, -1, 1, 10_000), ours)[-1]
    assert not any(line.startswith("| Loss") for line in baseline_lines(comparison(0, -1, 1), {"accuracy": 0.9}))
