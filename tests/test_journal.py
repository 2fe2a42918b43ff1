import math
import resource

import pytest

from tasks.errors import JournalError
from tasks.journal import JOURNAL, Ended, Files, Journal, Metrics, Opened, Params, Tags, Text, read_lines, read_undelivered

STORE = "sqlite:///mlflow.db"


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path, STORE)


def metrics(step=1, time=5, **values):
    return Metrics(time=time, step=step, values=values)


def entries(folder):
    return [line.entry for line in read_lines(folder / JOURNAL)]


def pending(journal):
    return [line.entry for line in journal.pending()]


def test_what_is_appended_is_read_back_as_it_was(journal, tmp_path):
    given = [
        metrics(loss=0.25, low=-math.inf),
        Params(values={"key": "ü\n\u2028"}),
        Text(name="report.md", text="# One\n"),
        Files(path="/somewhere", to="figures"),
        Ended(time=7, status="FAILED", error="no"),
    ]
    for entry in given:
        journal.append(entry)
    assert entries(tmp_path) == [Opened(store=STORE), *given]
    journal.append(metrics(step=2, loss=math.nan))
    assert math.isnan(entries(tmp_path)[-1].values["loss"])


def test_a_step_counts_once_and_other_things_by_their_value(journal, tmp_path):
    for entry in (
        metrics(loss=1.0),
        metrics(time=6, loss=2.0, accuracy=0.5),
        Tags(values={"a": "1", "b": "1"}),
        Tags(values={"a": "1", "b": "2"}),
        Text(name="config.yaml", text="x"),
        Text(name="config.yaml", text="x"),
    ):
        journal.append(entry)
    again = Journal(tmp_path, STORE)
    again.append(metrics(time=9, loss=3.0))
    again.append(Tags(values={"a": "1", "b": "2"}))
    assert entries(tmp_path) == [
        Opened(store=STORE),
        metrics(loss=1.0),
        metrics(time=6, accuracy=0.5),
        Tags(values={"a": "1", "b": "1"}),
        Tags(values={"b": "2"}),
        Text(name="config.yaml", text="x"),
        Opened(store=STORE),
    ]
    assert again.next_step("lo") == 2


@pytest.mark.parametrize("torn", [1, 20, 58])
def test_a_last_line_that_a_killed_process_left_torn_counts_for_nothing(journal, tmp_path, torn):
    journal.append(metrics(loss=1.0))
    journal.append(metrics(step=2, loss=2.0))
    path = tmp_path / JOURNAL
    path.write_bytes(path.read_bytes()[:-torn])
    again = Journal(tmp_path, STORE)
    again.append(metrics(step=2, loss=2.5))
    assert [entry.values["loss"] for entry in entries(tmp_path) if isinstance(entry, Metrics)] == [1.0, 2.5]


def test_only_what_was_not_delivered_is_pending_after_a_kill(journal, tmp_path):
    journal.append(metrics(loss=1.0))
    journal.mark_delivered(journal.pending()[-1].end)
    assert journal.is_delivered(journal.size())
    journal.append(metrics(step=2, loss=2.0))
    assert pending(journal) == [metrics(step=2, loss=2.0)]
    assert pending(Journal(tmp_path, STORE)) == [metrics(step=2, loss=2.0), Opened(store=STORE)]
    (tmp_path / JOURNAL).unlink()
    assert pending(Journal(tmp_path, STORE)) == [Opened(store=STORE)]


def test_an_end_is_told_unless_the_run_was_taken_up_again(journal, tmp_path):
    ended = Ended(time=7, status="FAILED", error="no")
    journal.append(ended)
    assert read_undelivered(tmp_path) == (STORE, journal.pending())
    assert pending(journal)[-1] == ended
    again = Journal(tmp_path, STORE)
    assert ended not in pending(again)
    assert ended not in [line.entry for line in read_undelivered(tmp_path)[1]]
    again.mark_delivered(again.pending()[-1].end)
    assert read_undelivered(tmp_path) == ("", [])


def test_a_damaged_line_is_named(journal, tmp_path):
    journal.append(metrics(loss=1.0))
    path = tmp_path / JOURNAL
    path.write_text(path.read_text().replace("metrics", "matrix"))
    with pytest.raises(JournalError, match=r"journal\.jsonl cannot be read: line 2: no entry"):
        Journal(tmp_path, STORE)


@pytest.mark.fault("disk full")
def test_an_entry_that_the_disk_takes_in_part_is_told_and_leaves_nothing(journal, tmp_path):
    journal.append(metrics(loss=1.0))
    before = entries(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / JOURNAL).stat().st_size + 10, hard))
    try:
        with pytest.raises(JournalError, match=r"no room for the journal .*journal\.jsonl \(\d+ bytes are wanted\)"):
            journal.append(metrics(step=2, loss=2.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert entries(tmp_path) == before
    journal.append(metrics(step=2, loss=2.0))
    assert entries(tmp_path) == [*before, metrics(step=2, loss=2.0)]
