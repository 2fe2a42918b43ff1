import pytest

from tests.benchmarks.growth import FORMATS, STAGES, measure, show


@pytest.mark.parametrize("extension", FORMATS)
def test_a_source_of_each_format_is_ingested(tmp_path, extension):
    measure("generator", tmp_path, 300, extension)
    assert measure("ingestion", tmp_path, 300, extension)["peak_rss_mib"] > 0


def test_every_stage_is_measured_and_shown(tmp_path, capsys):
    measured = [measure(stage, tmp_path, 500, "parquet") for stage in STAGES]
    assert [(row["stage"], row["rows"]) for row in measured] == [(stage, 500) for stage in STAGES]
    assert all(row["seconds_per_1000_rows"] == pytest.approx(row["seconds"] * 2, abs=0.02) for row in measured)
    show([*measured, *({**row, "rows": 1000, "seconds": row["seconds"] + 1} for row in measured)])
    told = capsys.readouterr().out
    assert "ingestion" in told
    assert "1,000" in told
