"""One long-lived process that carries out deployments, each run in a process of its own."""

import asyncio
import re
import signal
import sys
from collections.abc import Iterable
from contextlib import redirect_stderr
from io import TextIOBase
from pathlib import Path
from typing import Any, TextIO

from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner

NATIVE_LINE = re.compile(r"WARNING: All log messages before absl::|[IWEF]\d{4} \d\d:\d\d:\d+\.\d+ ")


class _Server(Runner):
    """Prefect's runner, but for its handler of SIGTERM, which exits before it has stopped the runs (3.8.8)."""

    def handle_sigterm(self, *_: Any) -> None:
        if not self.started:
            raise KeyboardInterrupt
        self.execute_in_background(self.astop)


class SortedLines(TextIOBase):
    """A stream of which lines that C++ libraries write, such as TensorFlow's greeting, go to a file of their own."""

    def __init__(self, stream: TextIO, native: TextIO) -> None:
        """Take the stream for all other lines, and the file."""
        self._stream, self._native, self._begun = stream, native, ""

    def write(self, text: str) -> int:
        """Write the lines that are whole by now."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            (self._native if NATIVE_LINE.match(line) else self._stream).write(f"{line}\n")
        return len(text)

    def flush(self) -> None:
        """Flush both."""
        self._stream.flush()
        self._native.flush()

    def close(self) -> None:
        """Write the line that was not ended."""
        self._stream.write(self._begun)
        self._begun = ""
        super().close()


def serve(deployments: Iterable[RunnerDeployment], native_log: Path) -> None:
    """Carry out the deployments' runs until Ctrl-C or SIGTERM, which stop what runs and pause the timetables.

    What C++ libraries write in them is appended to `native_log`.
    """
    runner = _Server(pause_on_shutdown=True)
    for deployment in deployments:
        runner.add_deployment(deployment)
    signal.signal(signal.SIGINT, runner.handle_sigterm)
    native_log.parent.mkdir(parents=True, exist_ok=True)
    # What the runs write, Prefect writes to what is standard error here.
    with native_log.open("a", encoding="utf-8") as file, SortedLines(sys.stderr, file) as lines, redirect_stderr(lines):
        asyncio.run(runner.start())
