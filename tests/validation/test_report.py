"""What a validation leaves behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

LONG = "word " * 200_000


@pytest.fixture
def failed(clean, check):
    clean.loc[[17, 40], "text"] = " "
    clean.loc[99, "text"] = "<script>alert(1)</script>" + LONG
    return check(clean, docs=True)


def test_result_json_holds_the_verdict_and_every_result_of_great_expectations(failed):
    result = json.loads((Path(failed.path) / "result.json").read_text())
    assert result["passed"] is False
    assert result["failures"] == list(failed.failures)
    assert result["measured"] == failed.measured
    assert result["great_expectations"].startswith("1.")
    results = [entry for table in result["results"].values() for entry in table["results"]]
    assert len(results) == failed.checks == result["checks"]
    assert sum(not entry["success"] for entry in results) == 2


def test_texts_are_not_copied_whole(failed):
    for name in ("result.json", "summary.html"):
        assert (Path(failed.path) / name).stat().st_size < 100_000
    assert "word " * 50 not in (Path(failed.path) / "result.json").read_text()


def test_summary_names_the_failing_rows_and_needs_no_network(failed):
    html = (Path(failed.path) / "summary.html").read_text()
    assert "failed" in html
    assert "text is blank (expect_column_values_to_not_match_regex): 2 rows, first 17, 40" in html
    assert "<td>2 rows, first 17, 40</td>" in html
    assert html.count("<td><code>") == failed.checks
    assert not [mark for mark in ("http", "src=", "href=", "@import", "<script") if mark in html]


def test_values_from_the_data_are_escaped_in_the_summary(clean, check):
    report = check(clean.assign(**{"<script>x</script>": 1}), schema=None)
    html = (Path(report.path) / "summary.html").read_text()
    assert "&lt;script&gt;x" in html
    assert "<script" not in html


def test_data_docs_hold_a_page_for_each_table(failed):
    docs = Path(failed.path) / "data_docs"
    assert (docs / "index.html").stat().st_size > 0
    pages = {path.relative_to(docs).parts[1] for path in docs.glob("validations/**/*.html")}
    assert pages == {"columns", "reviews"}
    text = "".join(path.read_text() for path in docs.glob("validations/reviews/**/*.html"))
    assert "no text is blank" in text
    assert "Exception occurred during data docs rendering" not in text


def test_padded_reviews_have_data_docs_too(arrays, check_arrays):
    report = check_arrays(arrays, docs=True)
    docs = Path(report.path) / "data_docs"
    pages = {path.relative_to(docs).parts[1] for path in docs.glob("validations/**/*.html")}
    assert pages == {"arrays", "padded"}
    assert np.load(Path(report.path) / "excluded_rows.npy").shape == (0,)


@pytest.mark.parametrize(("column", "value"), [("label", 2), ("split", "dev"), ("label", None)])
def test_data_docs_render_values_outside_a_set(clean, check, caplog, column, value):
    clean[column] = clean[column].astype(object)
    clean.loc[7, column] = value
    assert not check(clean, docs=True).passed
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_nothing_is_written_outside_the_folder(clean, write, check_again, tmp_path_factory, monkeypatch):
    reviews = write(clean)
    home, scratch, work = (tmp_path_factory.mktemp(name) for name in ("home", "scratch", "work"))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.chdir(work)
    before = sorted(os.listdir(reviews.path))  # noqa: PTH208
    report = check_again(reviews, docs=True)
    assert (Path(report.path) / "data_docs" / "index.html").is_file()
    assert [list(folder.rglob("*")) for folder in (home, scratch, work)] == [[], [], []]
    assert sorted(os.listdir(reviews.path)) == before  # noqa: PTH208


def test_nothing_is_drawn_on_the_terminal(clean, check, capfd):
    check(clean, docs=True)
    assert capfd.readouterr() == ("", "")


def test_the_digest_repeats_and_changes_with_the_verdict(clean: pd.DataFrame, write, check_again):
    reviews = write(clean)
    first, again, stricter = check_again(reviews), check_again(reviews), check_again(reviews, min_rows=121)
    assert first.sha256 == again.sha256
    assert stricter.sha256 != first.sha256


def test_the_digest_does_not_hang_on_the_order_of_sets(clean, check_again, write):
    clean["label"] = 1
    reviews = write(clean[clean["split"] == "train"].drop(columns="label"), schema=None)
    script = (
        "import sys, pathlib; from tasks.handles import Reviews; from configs.schema import ValidationConfig;"
        "from tasks.validation.validate import check_reviews;"
        "print(check_reviews(pathlib.Path(sys.argv[1]), Reviews.model_validate_json(sys.argv[2]), ValidationConfig()).sha256)"
    )
    folder = Path(reviews.path) / "other"
    folder.mkdir()
    ours = check_again(reviews)
    command = [sys.executable, "-c", script, str(folder), reviews.model_dump_json()]
    theirs = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "3"})
    assert theirs.stdout.strip() == ours.sha256
