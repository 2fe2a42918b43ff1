"""The journal of a run: what it records, a line each, on the disk before it is sent, and how far it was delivered.

`journal.jsonl` in the run's folder is only ever appended to; `journal.delivered` beside it holds the number of its bytes that
have been delivered. A process that is killed leaves whole lines, and at most one torn one, which counts for nothing.
"""

import os
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from tasks.disk_space import tell_full_disk
from tasks.errors import JournalError
from tasks.handles import Handle

JOURNAL, DELIVERED = "journal.jsonl", "journal.delivered"


class Opened(Handle):
    """A process began to record: to which store, as it may be shown."""

    kind: Literal["opened"] = "opened"
    store: str


class Metrics(Handle):
    """Figures of a step; `time` is when they were recorded, in milliseconds since 1970."""

    kind: Literal["metrics"] = "metrics"
    time: int
    step: int
    values: dict[str, float]


class Params(Handle):
    """Parameters, which are set once."""

    kind: Literal["params"] = "params"
    values: dict[str, str]


class Tags(Handle):
    """Tags, of which the latest value counts."""

    kind: Literal["tags"] = "tags"
    values: dict[str, str]


class Text(Handle):
    """A text file among the artifacts."""

    kind: Literal["text"] = "text"
    name: str
    text: str


class Files(Handle):
    """A file, or all files of a folder, that become artifacts in the folder `to`; they lie there until they are delivered."""

    kind: Literal["files"] = "files"
    path: str
    to: str = ""


class RecordedDataset(Handle):
    """A dataset that a run reads. `source` and `profile` are JSON."""

    name: str
    digest: str
    source: str
    profile: str
    context: str


class Datasets(Handle):
    """The datasets that a run reads."""

    kind: Literal["datasets"] = "datasets"
    datasets: tuple[RecordedDataset, ...]


class Ended(Handle):
    """The run ended otherwise than well, at `time` in milliseconds since 1970."""

    kind: Literal["ended"] = "ended"
    time: int
    status: Literal["FAILED", "KILLED"]
    error: str


Entry = Opened | Metrics | Params | Tags | Text | Files | Datasets | Ended
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])


class Line(NamedTuple):
    """An entry, and the number of bytes of the journal up to its end."""

    entry: Entry
    end: int


class Journal:
    """A run's journal, opened by the one process that records the run; its threads may append at the same time."""

    def __init__(self, folder: Path, store: str) -> None:
        """Open it, or begin it in a folder that exists; a torn last line is cut off.

        Raises:
            JournalError: it cannot be read back or written.
        """
        self.path = folder / JOURNAL
        self._lock = threading.Lock()
        self._pending: deque[Line] = deque()
        self._metrics: set[tuple[str, int]] = set()
        self._latest: dict[tuple[str, str], object] = {}
        self._size = 0
        delivered = read_delivered(folder)
        for line in read_lines(self.path):
            self._note(line.entry)
            self._size = line.end
            if line.end > delivered and not isinstance(line.entry, Ended):  # from here on the run goes on
                self._pending.append(line)
        try:
            self._file = self.path.open("ab", buffering=0)
            self._file.truncate(self._size)
        except OSError as error:
            raise JournalError(f"{self.path} cannot be written: {error.strerror}") from error
        self.append(Opened(store=store))

    def append(self, entry: Entry) -> None:
        """Put on the disk what of an entry is not in the journal yet: a step's figure counts once, other things by their value.

        Raises:
            JournalError: it cannot be written, the disk being full, say; nothing of the entry is left in it.
        """
        with self._lock:
            news = self._reduce(entry)
            if news is None:
                return
            line = news.model_dump_json().encode() + b"\n"
            try:
                written = self._file.write(line)
                if written != len(line):  # the disk took a part
                    written += self._file.write(line[written:])
                os.fsync(self._file.fileno())
            except OSError as error:
                self._file.truncate(self._size)
                told = tell_full_disk(error, self.path, "the journal", size=len(line))
                raise JournalError(told or f"{self.path} cannot be written: {error.strerror}") from error
            self._size += len(line)
            self._note(news)
            self._pending.append(Line(news, self._size))

    def pending(self) -> list[Line]:
        """Return what is not delivered yet, in order."""
        with self._lock:
            return list(self._pending)

    def size(self) -> int:
        """Return the number of its bytes."""
        with self._lock:
            return self._size

    def is_delivered(self, end: int) -> bool:
        """Tell whether the entries up to this byte are delivered."""
        with self._lock:
            return not self._pending or self._pending[0].end > end

    def mark_delivered(self, end: int) -> None:
        """Keep that the entries up to this byte are delivered."""
        write_delivered(self.path.parent, end)
        with self._lock:
            while self._pending and self._pending[0].end <= end:
                self._pending.popleft()

    def next_step(self, prefix: str) -> int:
        """Return the step after the last of all metrics whose name begins so."""
        with self._lock:
            return max((step + 1 for name, step in self._metrics if name.startswith(prefix)), default=0)

    def close(self) -> None:
        """Append no more."""
        self._file.close()

    def _reduce(self, entry: Entry) -> Entry | None:
        if isinstance(entry, Metrics):
            values = {name: value for name, value in entry.values.items() if (name, entry.step) not in self._metrics}
            return entry.model_copy(update={"values": values}) if values else None
        if isinstance(entry, Params | Tags):
            changed = {name: value for name, value in entry.values.items() if self._latest.get((entry.kind, name)) != value}
            return entry.model_copy(update={"values": changed}) if changed else None
        if isinstance(entry, Text | Files | Datasets) and self._latest.get(_place(entry)) == entry:
            return None
        return entry

    def _note(self, entry: Entry) -> None:
        if isinstance(entry, Metrics):
            self._metrics |= {(name, entry.step) for name in entry.values}
        elif isinstance(entry, Params | Tags):
            self._latest |= {(entry.kind, name): value for name, value in entry.values.items()}
        elif isinstance(entry, Text | Files | Datasets):
            self._latest[_place(entry)] = entry


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the whole lines of a journal; nothing where there is none.

    Raises:
        JournalError: it cannot be read, or a line is no entry.
    """
    end, number = 0, 0
    try:
        with path.open("rb") as file:
            for line in file:
                number += 1
                if not line.endswith(b"\n"):  # its writer was killed
                    return
                end += len(line)
                yield Line(_ENTRY.validate_json(line), end)
    except FileNotFoundError:
        return
    except (OSError, ValidationError) as error:
        where = f"line {number}: no entry" if isinstance(error, ValidationError) else error.strerror
        raise JournalError(f"{path} cannot be read: {where}") from error


def require_readable(folder: Path) -> None:
    """Raise if the journal in a run's folder cannot be gone on with.

    Raises:
        JournalError: it cannot be read, or a line is no entry.
    """
    for _ in read_lines(folder / JOURNAL):
        pass


def read_undelivered(folder: Path) -> tuple[str, list[Line]]:
    """Return the store that a run's journal is for, and what of it was not delivered; "" and nothing where that is all.

    Raises:
        JournalError: it cannot be read, or a line is no entry.
    """
    delivered = read_delivered(folder)
    if delivered == (folder / JOURNAL).stat().st_size:
        return "", []
    store, missing = "", list[Line]()
    for line in read_lines(folder / JOURNAL):
        if isinstance(line.entry, Opened):
            store = line.entry.store
            missing = [earlier for earlier in missing if not isinstance(earlier.entry, Ended)]  # it was taken up again
        if line.end > delivered:
            missing.append(line)
    return store, missing


def read_delivered(folder: Path) -> int:
    """Return how many bytes of the journal in a run's folder are delivered; where that is lost, none: it is delivered anew."""
    try:
        delivered = int((folder / DELIVERED).read_text())
        return delivered if delivered <= (folder / JOURNAL).stat().st_size else 0
    except (FileNotFoundError, ValueError):
        return 0


def write_delivered(folder: Path, end: int) -> None:
    """Keep how many bytes of the journal in a run's folder are delivered.

    Raises:
        JournalError: it cannot be written.
    """
    draft = folder / f".{DELIVERED}.{os.getpid()}"
    try:
        draft.write_text(str(end))
        draft.replace(folder / DELIVERED)
    except OSError as error:
        raise JournalError(f"{folder / DELIVERED} cannot be written: {error.strerror}") from error


def _place(entry: Text | Files | Datasets) -> tuple[str, str]:
    if isinstance(entry, Text):
        return entry.kind, entry.name
    if isinstance(entry, Files):
        return entry.kind, f"{entry.to}\0{entry.path}"
    return entry.kind, ""
