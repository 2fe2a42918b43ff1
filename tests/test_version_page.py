"""The page of a version, from records made by hand."""

from datetime import UTC, datetime

from tasks.baseline_report import tell_gain
from tasks.handles import BaselineComparison, Comparison, Decision, GateCheck, Interval, LedgerEntry, PairedAccuracy, Standing
from tasks.version_page import VersionRecord, compare_configs, write_page


def standing(version, accuracy):
    return Standing(
        version=version, metrics={"accuracy": accuracy}, calibration_error=0.03, latency_milliseconds=5.5, bytes=2**20
    )


def pair(name, rows):
    gain = Interval(value=0.02, low=0.01, high=0.03)
    return PairedAccuracy(name=name, rows=rows, challenger=0.88, champion=0.86, only_challenger=60, only_champion=40, gain=gain)


COMPARISON = Comparison(
    gate_sha256="f" * 64,
    rows=1000,
    overlap_rows=7,
    decided_before=3,
    gate_changed=False,
    challenger=standing("4", 0.88),
    champion=standing("3", 0.86),
    accuracy=pair("all", 1000),
    test="mid-p",
    p_value=0.04,
    slices=(pair("positive", 500),),
    high_water=None,
    noise=None,
)
DECISION = Decision(
    outcome="promote",
    reason="Version 4 becomes champion: it is better.",
    alias="champion",
    champion="4",
    replaced="3",
    checks=(GateCheck(name="gain", passed=True, sentence="Shown | plainly."),),
    comparison=COMPARISON,
    audit=Interval(value=0.87, low=0.85, high=0.89),
)

BASELINE = BaselineComparison(
    metrics={"accuracy": 0.9}, accuracy=pair("all", 1000), train_rows=4000, learnt_rows=4000, ngrams=70_000
)


def entry(number, version, before, after, outcome="promote"):
    return LedgerEntry(
        number=number,
        claim="0",
        time=datetime(2026, 11, number, 3, tzinfo=UTC),
        actor="nightly",
        action="gate",
        outcome=outcome,
        version=version,
        champion_before=before,
        champion_after=after,
        reason=f"reason {number}",
        gate_sha256=None,
        figures={},
        digests={},
        previous_sha256="",
    )


def record(**changes):
    times = {"time/training_seconds": 10.0, "time/training_cpu_seconds": 18.0, "time/total_seconds": 30.0}
    figures = {**times, "system/peak_memory_mebibytes": 900.0}
    test = {"test/accuracy": 0.88, "test_interval/accuracy_low": 0.86, "test_interval/accuracy_high": 0.9}
    kept = {
        "name": "films",
        "version": "4",
        "champion": "4",
        "run_id": "r4",
        "lost": None,
        "tags": {"dataset.sha256": "d" * 64, "weights_sha256": "w" * 64},
        "run_tags": {"stages.reused": "ingestion, training"},
        "metrics": figures | test,
        "config": {"training": {"seed": 4, "epochs": 5}},
        "decision": DECISION,
        "baseline": BASELINE,
        "entries": (entry(2, "4", "3", "4"),),
        "compared": ("3", {"training": {"seed": 3, "epochs": 5}}),
    }
    return VersionRecord(**(kept | changes))


def test_the_page_says_why_with_figures_intervals_differences_and_receipts():
    page = write_page(record())
    assert page.startswith("# films version 4\n\n**Champion** since 2026-11-02 03:00 UTC. reason 2")
    for line in [
        "| Accuracy | 0.8800 | 0.8600 |",
        "| positive | 500 | 88.00% | 86.00% | +2.00 [+1.00, +3.00] |",
        "| gain | passed | Shown \\| plainly. |",
        "| Accuracy | 0.8800 | 0.8600 to 0.9000 |",
        "| `training.seed` | `4` | `3` |",
        "| training | 10.0 | 18.0 | reused |",
        "- Peak memory: 900 MiB",
        f"**{tell_gain(BASELINE)}**",
        "| Accuracy | 0.8800 | 0.9000 |",
    ]:
        assert line in page.splitlines(), line
    assert "**promote** on 1,000 gate rows (`ffffffffffff`), which had taken 3 decisions before; 7 more left out" in page
    assert "sealed audit rows, opened for the promotion: 87.00% [85.00%, 89.00%]" in page
    assert "epochs" not in page


def test_a_version_that_is_not_champion_says_so_and_why():
    kept = record(champion="3", entries=(entry(2, "4", "3", "3", outcome="keep"),))
    assert "**Not the champion.** The last word on this one, by gate: reason 2" in write_page(kept)
    dethroned = record(champion="5", entries=(entry(2, "4", "3", "4"), entry(5, "5", "4", "5")))
    assert "**Not the champion.** The last word on this one, by gate: reason 5" in write_page(dethroned)
    undecided = record(champion=None, entries=(), decision=None, baseline=None, compared=None)
    page = write_page(undecided)
    assert "No decision was taken on this one." in page
    assert "There was no champion to differ from." in page
    assert "## Gate" not in page
    assert "## Beside a linear model" not in page


def test_a_rival_that_is_gone_is_named():
    assert "That of version 3 is gone." in write_page(record(compared=("3", None)))


def test_configurations_are_compared_leaf_by_leaf():
    one, two = {"a": {"x": 1, "y": None}, "b": 2}, {"a": {"x": 1}, "b": 3, "c": 4}
    assert compare_configs(one, two) == [("a.y", "None", "absent"), ("b", "2", "3"), ("c", "absent", "4")]
    assert compare_configs(one, one) == []
