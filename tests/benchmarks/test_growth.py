import pytest

from tests.benchmarks.growth import FORMATS, STAGES, measure, show


@pytest.mark.parametrize("extension", FORMATS)
def test_a_source_of_each_format_is_ingested(tmp_path, extension):
    measure("generator", tmp_path, 300, extension)
    assert measure("ingestion", tmp_path, 300, extension)["peak_rss_mib"] > 0


def test_every_stage_is_measured(tmp_path):
    measured = [measure(stage, tmp_path, 500, "parquet") for stage in STAGES]
    assert [(row["stage"], row["rows"]) for row in measured] == [(stage, 500) for stage in STAGES]
    assert all(row["seconds_per_1000_rows"] == pytest.approx(row["seconds"] * 2, abs=0.001) for row in measured)


def test_the_table_fits_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    small = {"rows": 250_000, "seconds": 9.4, "seconds_per_1000_rows": 0.0376, "cpu_seconds": 9.3, "peak_rss_mib": 512}
    large = {"rows": 1_000_000, "seconds": 258.7, "seconds_per_1000_rows": 0.2587, "cpu_seconds": 41.8, "peak_rss_mib": 4_096}
    show([{"stage": stage, **row} for stage in STAGES for row in (small, large)])
    told = capsys.readouterr().out
    assert all(stage in told for stage in STAGES)
    assert told.count("1,000,000") == told.count("27.52x") == told.count("4,096") == len(STAGES)
    assert max(map(len, told.splitlines())) <= 80
