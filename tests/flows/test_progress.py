"""What is shown while work goes on: on a real pseudo-terminal, and where the output goes to a pipe."""

import os
import re
import subprocess
import sys

import pytest

from tests.flows.pseudo_terminal import draw, run_in_terminal

WORK = """
import logging, sys, time
from flows.progress import shown_work
from tasks.progress import BESIDE_A_BAR, tell, working

logger = logging.getLogger("reprise.test")
with shown_work(on_stderr="--json" in sys.argv), working("stage"):
    for epoch in range(3):
        tell("training", epoch, 3, "epochs")
        for batch in range(4):
            tell(f"epoch {epoch + 1}", batch * 1000, 4000, "batches", "accuracy: 0.8123 - loss: 0.4321 - and more")
            time.sleep(float(sys.argv[1]))
        tell(f"epoch {epoch + 1}", ended=True)
        logger.info("Epoch %d/3", epoch + 1)
        logger.info("%d epochs are done", epoch + 1, extra=BESIDE_A_BAR)
    print("printed by a library")
    tell("training", ended=True)
print("answer")
"""
LINES = ["Epoch 1/3", "Epoch 2/3", "Epoch 3/3", "printed by a library"]


def environment(**given):
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return {**kept, "TERM": "xterm-256color", **given}


def in_terminal(columns, **given):
    pause = "0" if given.get("TERM") == "dumb" else "0.15"  # long enough for each bar to be drawn
    status, written = run_in_terminal([sys.executable, "-c", WORK, pause], columns=columns, env=environment(**given))
    assert status == 0, written
    return written


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_terminal_shows_bars_and_the_time_left_and_keeps_the_lines_alone(columns):
    written = in_terminal(columns)
    assert draw(written) == [*LINES, "answer"]
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    assert re.search(r"training +[━╸╺]+ +2/3 epochs +0:\d\d:\d\d left", drawn)
    assert re.search(r"epoch \d +[━╸╺]+ +[123],000/4,000 batches", drawn)
    assert re.search(r"stage +0:\d\d:\d\d", drawn)
    assert ("accuracy: 0.8123 - loss" in drawn) == (columns == 200)
    assert max(map(len, re.split(r"[\r\n]+", drawn))) <= columns
    assert written.endswith("answer\r\n")
    assert written.count("\x1b[?25h") == written.count("\x1b[?25l") == 1  # the cursor is there again


def test_without_colours_a_terminal_has_bars_still():
    written = in_terminal(80, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*(3[0-9]|9[0-7])[0-9;]*m", written)
    assert "2/3 epochs" in written


def test_a_terminal_that_cannot_go_back_has_lines_alone():
    assert draw(in_terminal(80, TERM="dumb")) == [
        *(line for epoch in (1, 2, 3) for line in (f"Epoch {epoch}/3", f"{epoch} epochs are done")),
        *("printed by a library", "answer"),
    ]


@pytest.mark.parametrize("given", [{}, {"FORCE_COLOR": "1"}, {"COLUMNS": "20"}])
def test_a_pipe_gets_whole_lines_and_with_json_the_answer_alone(given):
    def run(*arguments):
        command = [sys.executable, "-c", WORK, "0", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment(**given), check=True)

    plain = run()
    assert (plain.stdout.splitlines()[-2:], plain.stderr) == (["printed by a library", "answer"], "")
    assert plain.stdout.splitlines()[:2] == ["Epoch 1/3", "1 epochs are done"]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", plain.stdout)
    answer = run("--json")
    assert answer.stdout == "answer\n"
    assert answer.stderr.splitlines() == plain.stdout.splitlines()[:-1]


def test_lines_in_a_file_are_plain_though_the_answer_goes_to_a_terminal(tmp_path):
    code = WORK + "\n".join(["", "with shown_work(on_stderr=True, keep_native=False):", "    logger.warning('a warning')"])
    command = ["sh", "-c", '"$@" 2> lines', "sh", sys.executable, "-c", code, "0", "--json"]
    status, written = run_in_terminal(command, columns=80, env=environment(), cwd=tmp_path)
    assert (status, draw(written)) == (0, ["answer"])
    lines = (tmp_path / "lines").read_text().splitlines()
    assert lines == [line for epoch in (1, 2, 3) for line in (f"Epoch {epoch}/3", f"{epoch} epochs are done")] + [
        "printed by a library",
        "a warning",
    ]


def test_native_messages_are_kept_apart_and_those_of_python_shown_however_often_it_is_asked_for(tmp_path):
    code = """
import os, sys
from pathlib import Path
from flows.terminal import keep_native_messages

for name in ("first", "second"):
    keep_native_messages(Path(name))
    os.write(2, b"native\\n")
    print("told after", name, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["told after first", "told after second"]
    assert [(tmp_path / name).read_text() for name in ("first", "second")] == ["native\n", "native\n"]
