"""What the gate found, as Markdown, from a decision made by hand; `test_version_page.py` has one with a champion."""

from tasks.gate_report import gain_in_points, gate_lines, tell_share
from tasks.handles import Comparison, Decision, GateCheck, Interval, PairedAccuracy, Standing

CHALLENGER = Standing(
    version="1", metrics={"accuracy": 0.5}, calibration_error=0.25, latency_milliseconds=5.04, bytes=3 * 2**19
)
FIRST = Decision(
    outcome="keep",
    reason="It is below a floor.",
    alias="challenger",
    champion=None,
    replaced=None,
    checks=(
        GateCheck(name="floors", passed=False, sentence="Accuracy is too low."),
        GateCheck(name="gain", passed=None, sentence="A | B."),
    ),
    comparison=Comparison(
        gate_sha256="ab" * 32,
        rows=1234,
        overlap_rows=0,
        decided_before=0,
        gate_changed=False,
        challenger=CHALLENGER,
        champion=None,
        accuracy=None,
        test=None,
        p_value=None,
        slices=(),
        high_water=None,
        noise=None,
    ),
    audit=None,
)


def test_a_version_without_a_rival_stands_alone():
    lines = gate_lines(FIRST)
    assert lines[0] == "**keep** on 1,234 gate rows (`abababababab`), which had taken 0 decisions before."
    rows = [line for line in lines if line.startswith("|") and "---" not in line]
    assert rows == [
        "| on the gate rows | version 1 |",
        "| Accuracy | 0.5000 |",
        "| Calibration error | 0.2500 |",
        "| Latency, one text | 5.0 ms |",
        "| Size | 1.50 MiB |",
        "| condition |  | why |",
        "| floors | FAILED | Accuracy is too low. |",
        "| gain | open | A \\| B. |",
    ]
    assert not any("audit" in line for line in lines)


def test_shares_and_gains_are_told_with_their_intervals():
    gain = Interval(value=0.0123, low=-0.004, high=0.0281)
    pair = PairedAccuracy(name="all", rows=10, challenger=0.9, champion=0.8, only_challenger=2, only_champion=1, gain=gain)
    assert gain_in_points(pair) == "+1.23 [-0.40, +2.81]"
    assert tell_share(Interval(value=0.8765, low=0.86, high=1.0)) == "87.65% [86.00%, 100.00%]"
