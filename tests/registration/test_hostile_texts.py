"""Texts at the edges, among others: each is scored or told why not, the others are scored, in bounded time."""

import io
import json
import time

import pandas as pd
import pyarrow.parquet as pq
import pytest

from configs.schema import DataConfig
from flows.standard_input import read_lines
from flows.terminal import printable
from tasks.errors import InputError
from tasks.monitoring.new_reviews import read_new_reviews
from tasks.registration.observing import observe_texts
from tasks.registration.scoring import score_texts
from tests.registration.small_model import NAME
from tests.scoring.test_job import run

FAULT = "text hostile"
SOUND = "a film that i will not forget"
HOSTILE = {
    "empty": ("", "the text is blank"),
    "blank": (" \t\n\u2003", "the text is blank"),
    "one word": ("film", None),
    "a million words": ("word " * 1_000_000, "5000000 characters are too many: at most 100,000 are scored"),
    "as long as may be": ("w " * 50_000, None),
    "emoji": ("😀👩‍👩‍👧🏳️‍🌈 " * 50, None),
    "right to left": ("סרט טוב \u202eevil\u202c فيلم", None),
    "half a pair": ("film \ud83d film", None),
    "control characters": ("film\x00\x1b[2J\x07\x7f\x85 film", None),
    "HTML": ("<script>alert('film')</script><br /><b>film", None),
    "no word": ("!!! ... ???", None),
}


@pytest.mark.fault(FAULT)
def test_predict_tells_of_each_text_and_scores_the_others(small_version, tries):
    texts = [SOUND, *(text for text, _ in HOSTILE.values()), SOUND]
    begun = time.process_time()
    found = score_texts(small_version, texts)
    assert time.process_time() - begun < 60
    tries(len(HOSTILE), len(HOSTILE))
    assert [row["error"] for row in found] == [None, *(error for _, error in HOSTILE.values()), None]
    assert found[0] == found[-1] == score_texts(small_version, [SOUND])[0]
    for row in found:
        assert (row["probability"] is None) == (row["label"] is None) == (row["error"] is not None)
        assert row["probability"] is None or 0 <= row["probability"] <= 1


@pytest.mark.fault(FAULT)
def test_what_is_printed_cannot_steer_the_terminal():
    assert printable("é😀 a\x1b[2J\u202e\ud800\n") == r"é😀 a\x1b[2J\u202e\ud800\n"


@pytest.mark.fault(FAULT)
@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (b"good\nn\xe9e\n", "line 2 of standard input is not UTF-8: it holds the byte 0xe9"),
        (b"good\n" + b"w" * (1 << 23), "line 2 of standard input is longer than 8 MiB"),
    ],
)
def test_a_line_of_standard_input_at_fault_is_named(lines, told):
    with pytest.raises(InputError, match=told):
        [*read_lines(io.BytesIO(lines))]


def test_lines_of_standard_input_are_texts_but_for_blank_ones():
    assert [*read_lines(io.BytesIO("one\r\n\n \n two\x00\nlast\u2028line".encode()))] == ["one", " two\x00", "last\u2028line"]


@pytest.mark.fault(FAULT)
def test_new_reviews_that_are_too_long_are_left_out_and_told_and_the_others_observed(tmp_path, small_version, caplog, tries):
    texts = [text.encode(errors="replace").decode() for text, _ in HOSTILE.values()]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in [*texts, *[SOUND] * 20]))
    found = read_new_reviews(DataConfig(source="table", path=str(tmp_path / "new.jsonl")), 100)
    assert (found.available, len(found.table)) == (len(texts) + 19, len(texts) + 19)
    (told,) = [record.getMessage() for record in caplog.records if record.name == "reprise.monitoring"]
    assert told.endswith("new.jsonl: column 'text' holds more than 100,000 characters in row 4, which is left out")
    observed = observe_texts(NAME, small_version.version, found.table["text"].to_pylist())
    tries(len(texts), len(texts))
    words = dict(zip(found.table["text"].to_pylist(), observed.words.tolist(), strict=True))
    assert (words[""], words["film"], words["w " * 50_000], words["!!! ... ???"]) == (0, 1, 50_000, 0)
    assert len(observed.ids) == len(observed.probabilities) == len(found.table)
    assert ((observed.probabilities >= 0) & (observed.probabilities <= 1)).all()


@pytest.mark.fault(FAULT)
@pytest.mark.parametrize("name", ["in.csv", "in.jsonl", "in.parquet"])
def test_a_scored_file_counts_the_rows_at_fault_and_scores_the_others(tmp_path, name, tries):
    texts = [SOUND, *(text.encode(errors="replace").decode() for text, _ in HOSTILE.values()), SOUND]
    frame = pd.DataFrame({"id": range(len(texts)), "text": texts})
    path = tmp_path / name
    match path.suffix:
        case ".csv":
            frame.to_csv(path, index=False)
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in frame.to_dict("records")))
        case _:
            frame.to_parquet(path)
    result, _ = run(path, tmp_path / "out.parquet")
    errors = pq.read_table(tmp_path / "out.parquet")["error"].to_pylist()
    assert errors == [None, *(error for _, error in HOSTILE.values()), None]
    tries(len(HOSTILE), result.rows - 2)
    assert (result.rows, result.errors) == (len(texts), len(texts) - errors.count(None))
