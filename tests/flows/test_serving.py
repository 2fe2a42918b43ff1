"""What the runs of a serving process write, as it reaches the terminal."""

import asyncio
import io
import sys
from contextlib import redirect_stderr

from prefect.utilities.processutils import run_process

from flows.serving import SortedLines

GREETING = [
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795719364.036117    7705 port.cc:153] oneDNN custom operations are on. You may see slightly different",
    "I0000 00:00:1795719364.041912    7705 cudart_stub.cc:31] Could not find cuda drivers on your machine",
]
OURS = ["Interesting: a line of a library", "I0000", "error: WARNING: All log messages"]


def test_what_native_libraries_greet_with_is_kept_apart_however_it_comes_in_pieces():
    text = "\n".join([GREETING[0], OURS[0], *GREETING[1:], *OURS[1:], "not ended"])
    for size in (1, 7, 100, len(text)):
        stream, native = io.StringIO(), io.StringIO()
        with SortedLines(stream, native) as lines:
            for start in range(0, len(text), size):
                assert lines.write(text[start : start + size]) == len(text[start : start + size])
                lines.flush()
        assert native.getvalue().splitlines() == GREETING
        assert stream.getvalue().splitlines() == [*OURS, "not ended"]


def test_what_prefects_runner_passes_on_of_a_run_is_sorted():
    code = f"import sys; print({GREETING[0]!r}, {OURS[0]!r}, {GREETING[1]!r}, sep=chr(10), file=sys.stderr)"
    stream, native = io.StringIO(), io.StringIO()
    with SortedLines(stream, native) as lines, redirect_stderr(lines):
        asyncio.run(run_process([sys.executable, "-c", code], stream_output=True))
    assert native.getvalue().splitlines() == GREETING[:2]
    assert stream.getvalue().splitlines() == [OURS[0]]
