"""One table on its way to being scored: its parts, what of them is done, and the table that is written."""

import hashlib
import json
import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from configs.scoring import ScoringConfig
from tasks.errors import InputError
from tasks.handles import Handle
from tasks.ingestion import table_formats
from tasks.ingestion.files import shown_path
from tasks.progress import BESIDE_A_BAR, tell, working
from tasks.registration.scoring import PinnedVersion
from tasks.scoring.parts import Part, join_scores, spool_parts
from tasks.scoring.reading import Table, open_table
from tasks.scoring.request import Request, check_request
from tasks.scoring.scores import MAX_CHARACTERS
from tasks.scoring.writing import Write, open_rows, written_whole
from tasks.workspace import code_version, home, in_use, remove_unused

LINE_SECONDS = 10.0
TITLE = "scoring"
PARTS_PER_WORKER = 2
"""One to score, and one that lies ready, so that no worker waits for the reader."""
ROOM = Path(__file__).parent
logger = logging.getLogger("reprise.scoring")


class ScoringResult(Handle):
    """What was scored, with what, and how fast.

    `errors` are rows without a score, `reused_parts` those that a run that was killed had scored.
    """

    output: str
    input_sha256: str
    model: str
    version: str
    rows: int
    errors: int
    parts: int
    reused_parts: int
    seconds: float
    rows_per_second: float


class Output(NamedTuple):
    """The table that is written: the columns kept and those added, and the function that takes their rows."""

    kept: pa.Schema
    added: pa.Schema
    write: Write


def added_columns(prefix: str) -> pa.Schema:
    """Return the columns that scoring adds."""
    kinds = {"probability": pa.float64(), "label": pa.int8(), "model_version": pa.string(), "error": pa.string()}
    return pa.schema([(f"{prefix}{name}", kind) for name, kind in kinds.items()])


class Job:
    """A table's parts in order, to be written in that order once they are scored."""

    def __init__(
        self, config: ScoringConfig, version: PinnedVersion, table: Table, parts: Iterator[Part], output: Output
    ) -> None:
        """Take a table that is open, its parts, and the place to write to."""
        self._config, self._version, self._table, self._parts, self._output = config, version, table, parts, output
        self._started = self._told = time.monotonic()
        self._rows = self._errors = self._number = self._reused = 0
        self.parts_at_once = PARTS_PER_WORKER * config.runner.workers

    def __iter__(self) -> Iterator[Part]:
        """Yield the parts, each when its rows lie ready to be scored."""
        for part in self._parts:
            self._number += 1
            yield part

    def is_done(self, part: Part) -> bool:
        """Tell whether an earlier run, which was killed, has scored a part."""
        done = part.is_scored()
        self._reused += done
        return done

    def write(self, part: Part) -> None:
        """Write a part's rows and scores, and remove its spool file."""
        for rows, scores in join_scores(part, self._output.kept):
            versions = pa.array([f"{self._version.name}/{self._version.version}"] * len(rows), pa.string())
            columns = [scores["probability"], scores["label"], versions, scores["error"]]
            self._output.write(rows, pa.RecordBatch.from_arrays(columns, schema=self._output.added))
            self._errors += len(rows) - scores["error"].null_count
        Path(part.spool).unlink()
        self._rows += part.rows
        expected = self._table.estimate_rows()
        tell(TITLE, self._rows, expected, "rows")
        if time.monotonic() - self._told >= LINE_SECONDS:
            self._told = time.monotonic()
            of = f" of about {expected:,}" if expected else ""
            logger.info("%s%s rows scored", f"{self._rows:,}", of, extra=BESIDE_A_BAR)

    def result(self) -> ScoringResult:
        """Return what was done, after the last part."""
        seconds = time.monotonic() - self._started
        return ScoringResult(
            output=shown_path(self._config.output),
            input_sha256=self._table.sha256,
            model=self._version.name,
            version=self._version.version,
            rows=self._rows,
            errors=self._errors,
            parts=self._number,
            reused_parts=self._reused,
            seconds=seconds,
            rows_per_second=self._rows / seconds,
        )


@contextmanager
def open_job(config: ScoringConfig, version: PinnedVersion) -> Iterator[Job]:
    """Yield a job; when the block ends without an error the output is there, and the parts' scores are removed.

    Raises:
        InputError: the input cannot be read, or the output not be written.
        DownloadError: a host did not deliver, or take, a file.
    """
    request = check_request(config)
    added = added_columns(config.prefix)
    with open_table(
        request.source, request.source_extension, config.text_column, added.names, as_lines=request.as_lines
    ) as table:
        folder = home() / "stages" / "scoring" / _key(config, request, table, version)
        try:
            with working(TITLE), _open_parts(config, request, table, added, version, folder) as job:
                yield job
        except InputError:
            remove_unused(folder)  # another input has another key
            raise
    remove_unused(folder)


@contextmanager
def _open_parts(
    config: ScoringConfig, request: Request, table: Table, added: pa.Schema, version: PinnedVersion, folder: Path
) -> Iterator[Job]:
    with ExitStack() as stack:
        _hold(folder, stack)
        for leftover in folder.glob("spool.*"):
            remove_unused(leftover)
        spool = folder / f"spool.{uuid.uuid4().hex}"
        stack.callback(remove_unused, spool)
        held = stack.enter_context(ExitStack())
        _hold(spool, held)
        batches = iter(table.batches)
        head = next(batches)
        kept = head.kept.schema
        stream = stack.enter_context(written_whole(request.output))
        write = stack.enter_context(open_rows(stream, request.output_extension, kept, added, as_lines=request.as_lines))
        parts = spool_parts(chain([head], batches), config.rows_per_part, spool=spool, scores=folder)
        yield Job(config, version, table, parts, Output(kept, added, write))


def _hold(folder: Path, stack: ExitStack) -> None:
    """Make a folder if it is not there, and keep it in use until the stack is closed."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            stack.enter_context(in_use(folder))
            return
        except FileNotFoundError:  # another process that had the same to do has just removed it
            continue


def _key(config: ScoringConfig, request: Request, table: Table, version: PinnedVersion) -> str:
    """Return what the scores of a part depend on besides its rows, in short."""
    code = code_version(Path(__file__).parent, Path(table_formats.__file__))
    parts = [table.sha256, request.source_extension, config.text_column, version.model_dump(), MAX_CHARACTERS, code]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
