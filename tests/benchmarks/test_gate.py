import json
import sys

import numpy as np
import pytest

from tests.benchmarks.gate import PARTS, find_promotion_rates, follow_line, main


@pytest.mark.parametrize(("rows", "discordant"), [(300, 0.04), (300, 0.2), (2000, 0.12), (20_000, 0.12)])
def test_of_equally_good_models_at_most_one_in_forty_is_promoted(rows, discordant):
    equal, *better = find_promotion_rates(rows, discordant)
    assert equal <= 0.025
    assert sorted([equal, *better]) == [equal, *better]
    if rows == 20_000:
        assert better[1] > 0.95  # one point is seen on the gate rows of IMDB


def test_the_high_water_mark_stops_a_drift_that_goes_on_without_it():
    with_mark, without = (
        follow_line(np.random.default_rng(0), 20_000, 0.12, -0.001, renewed=True, mark=mark) for mark in (True, False)
    )
    assert with_mark.promoted > 0
    assert with_mark.below_measured <= 0.005
    assert without.below_measured > 0.015


def test_the_parts_write_their_figures_and_refuse_all_that_is_to_be_refused(tmp_path, monkeypatch):
    report = tmp_path / "gate.json"
    settings = ["--pairs", "5", "--rows", "400", "--lines", "1", "--json", str(report)]
    monkeypatch.setattr("tests.benchmarks.gate.STEPS", 3)
    monkeypatch.setattr("tests.benchmarks.gate.SMALL_GATES", (300,))
    monkeypatch.setattr(sys, "argv", ["gate", *settings])
    main()
    figures = json.loads(report.read_text())
    assert set(PARTS) < set(figures)
    assert all(counts["refused"] == counts["of"] > 0 for counts in figures["refusals"].values())
