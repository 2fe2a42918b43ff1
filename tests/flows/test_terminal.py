"""Tables and pages as they are printed: on a wide terminal, on a narrow one, and to a pipe."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from flows import terminal

DIGEST = "0123456789abcdef" * 4
HEADER = ("model", "version", "digest", "")
ROWS = [("imdb-lstm", "12", DIGEST, "a [bold] remark of some words"), ("short", "1", "", "")]


@pytest.fixture
def printed(monkeypatch):
    """Print to a console of so many columns, a terminal's or none, and return what is printed."""

    def printed(function, *arguments, columns, is_terminal=True):
        console = Console(file=io.StringIO(), width=columns, force_terminal=is_terminal, no_color=True, highlight=False)
        monkeypatch.setattr(terminal, "out", console)
        function(*arguments)
        return console.file.getvalue()

    return printed


def test_a_table_that_fits_is_one_and_its_last_column_wraps(printed):
    told = printed(terminal.print_table, "Title", HEADER, ROWS, columns=130)
    assert f"│ imdb-lstm │ 12      │ {DIGEST} │ a [bold] remark of some words │" in told
    told = printed(terminal.print_table, "Title", HEADER, ROWS, columns=118)
    assert f"│ {DIGEST} │ a [bold] remark of " in told
    assert " words" in told


@pytest.mark.parametrize("columns", [60, 80])
def test_a_table_that_does_not_fit_becomes_a_block_for_each_row(printed, columns):
    told = printed(terminal.print_table, "Title", HEADER, ROWS, columns=columns)
    plain = "".join(told.replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\x1b[3m", "").split("\n"))
    assert plain == f"Titlemodel: imdb-lstmversion: 12digest: {DIGEST}a [bold] remark of some wordsmodel: shortversion: 1"
    assert all(len(line) <= columns + 8 for line in told.splitlines())


def test_a_pipe_gets_a_line_for_each_row_whatever_its_width(printed):
    told = printed(terminal.print_table, "Title", HEADER, ROWS, columns=40, is_terminal=False)
    assert told.splitlines() == [
        "Title",
        "model      version  digest",
        f"imdb-lstm  12       {DIGEST}  a [bold] remark of some words",
        "short      1",
    ]


@pytest.mark.parametrize("columns", [60, 80])
def test_markdown_is_laid_out_without_a_letter_lost(printed, columns):
    text = f"# Page\n\n| what | weights | remark |\n| --- | --- | --- |\n| model | `{DIGEST}` | {'word ' * 9}|\n"
    told = printed(terminal.print_markdown, text, columns=columns)
    assert "…" not in told
    letters = "".join(letter for letter in told if letter in DIGEST)
    assert all(letters.count(letter) >= 4 for letter in DIGEST)
    assert max(map(len, told.replace("\x1b[1m", "").splitlines())) < columns + 40
    assert printed(terminal.print_markdown, text, columns=columns, is_terminal=False) == f"{text}\n"


def test_json_is_one_line_and_writes_moments_and_paths(capsys):
    terminal.print_json({"at": datetime(2026, 1, 2, tzinfo=UTC), "path": Path("a/b")})
    assert json.loads(capsys.readouterr().out) == {"at": "2026-01-02T00:00:00+00:00", "path": "a/b"}
