"""Results of stages in a bucket, or any other place that fsspec writes to: whole or not seen, checked when they are fetched.

    stage-results/<stage>/<key>/<number>.json     an entry: the folder of a result, and each file's size and sha256
    stage-files/<stage>/<key>.<time>.<unique>/    that folder, and in it `.last-used`, the time of the last use

Files are uploaded first. The entry is written last, where none is yet, and never changed. The highest number counts, so that
a damaged result, or one that is built again, is superseded by the next number.
"""

import re
import uuid
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from tasks.ingestion.files import Located
from tasks.storage import reaching
from tasks.workspace import describe_files, read_manifest

ENTRIES, FILES = "stage-results", "stage-files"
OUR_ENTRY, OUR_FILE = re.compile(r"([^/]+)/[^/]+/\d+\.json"), re.compile(r"([^/]+)/([^/.]+\.\d{8}T\d{6}Z\.[0-9a-f]{32})/.+")
LAST_USED = ".last-used"
TIME = "%Y%m%dT%H%M%SZ"
LONG_AGO = datetime.fromtimestamp(0, UTC)


def _check_below(name: str) -> str:
    """What stands in a bucket may not name a file outside the folder that it is fetched into."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{name!r} is no path below a folder")
    return name


BelowFolder = Annotated[str, AfterValidator(_check_below)]


class Entry(BaseModel):
    """What a bucket says of a result: the name of its folder, and the size in bytes and sha256 (hex) of each file there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: BelowFolder
    files: dict[BelowFolder, tuple[int, str]]


class SharedKept(NamedTuple):
    """A result in the bucket, by the path there of the folder of its files; `group` is its stage.

    A leftover is an upload that did not end, or, without a folder, an entry whose files are not there. `entry` is the path of
    the entry, if there is one. A bucket knows no locks: `in_use` is false.
    """

    group: str
    path: str
    bytes: int
    last_used: datetime
    leftover: bool
    entry: str | None
    in_use: bool = False


class Bucket(NamedTuple):
    """The results below a place. Whatever its filesystem raises comes as a StorageError that names the place."""

    root: Located

    def list_numbers(self, stage: str, key: str) -> list[int]:
        """Return the numbers of a key's results, the one that counts last."""
        names = (PurePosixPath(path) for path in self._find(ENTRIES, stage, key))
        return sorted(int(name.stem) for name in names if name.suffix == ".json" and name.stem.isdecimal())

    def read_entry(self, stage: str, key: str, number: int) -> Entry | None:
        """Return an entry, or None if it is gone or cannot be read."""
        path = self._entry(stage, key, number).path
        return _parse_entry(self._read([path]).get(path))

    def read_file(self, stage: str, entry: Entry, name: str) -> bytes | None:
        """Return the bytes of one file of a result, or None if it is gone."""
        path = self._folder(stage, entry).join(name).path
        return self._read([path]).get(path)

    def upload(self, stage: str, key: str, number: int, folder: Path) -> Entry | None:
        """Share a published folder as a key's result of this number, and return the entry of that number: who is first wins."""
        entry = Entry(folder=f"{key}.{datetime.now(UTC):{TIME}}.{uuid.uuid4().hex}", files=read_manifest(folder))
        target, place = self._folder(stage, entry), self._entry(stage, key, number)
        pairs = [(str(folder / name), target.join(name).path) for name in entry.files]
        with self._reaching():
            self._make_folders([place.path, *(remote for _, remote in pairs)])
            self.root.filesystem.put([local for local, _ in pairs], [remote for _, remote in pairs])
            try:
                self.root.filesystem.pipe_file(place.path, entry.model_dump_json().encode(), mode="create")
            except Exception:
                # The answer may have been lost, and the request repeated by itself: what stands there says who was first.
                standing = self._read([place.path]).get(place.path)
                if standing is None:
                    raise
                if (winner := _parse_entry(standing)) != entry:
                    self.root.filesystem.rm(target.path, recursive=True)
                return winner
        return entry

    def download(self, stage: str, entry: Entry, folder: Path) -> bool:
        """Fill a local folder with the files of a result, and tell whether they are as its entry says."""
        source = self._folder(stage, entry)
        pairs = [(source.join(name).path, str(folder / name)) for name in entry.files]
        for _, local in pairs:
            Path(local).parent.mkdir(parents=True, exist_ok=True)
        with self._reaching():
            try:
                self.root.filesystem.get([remote for remote, _ in pairs], [local for _, local in pairs])
            except FileNotFoundError:
                return False
        return describe_files(folder) == entry.files

    def mark_used(self, stage: str, entry: Entry) -> None:
        """Record that a result was used now."""
        with self._reaching():
            mark = self._folder(stage, entry).join(LAST_USED)
            self.root.filesystem.pipe_file(mark.path, datetime.now(UTC).isoformat().encode())

    def list_kept(self) -> list[SharedKept]:
        """Return every result and leftover, by stage and then by last use."""
        # Entries first: what is uploaded meanwhile looks like an upload that has not ended, not like an entry without files.
        # Whatever else a user keeps there is neither shown nor removed.
        paths = {
            self.root.join(ENTRIES, path).path: ours[1] for path in self._find(ENTRIES) if (ours := OUR_ENTRY.fullmatch(path))
        }
        sizes: dict[str, int] = {}
        for path, size in self._find(FILES).items():
            if ours := OUR_FILE.fullmatch(path):
                folder = self.root.join(FILES, ours[1], ours[2]).path
                sizes[folder] = sizes.get(folder, 0) + size
        last_used = self._last_used(sizes)
        kept = []
        for path, text in self._read(paths).items():
            entry, stage = _parse_entry(text), paths[path]
            folder = "" if entry is None else self._folder(stage, entry).path
            if folder in sizes:
                kept.append(SharedKept(stage, folder, sizes.pop(folder), last_used[folder], leftover=False, entry=path))
            else:
                kept.append(SharedKept(stage, path, len(text), LONG_AGO, leftover=True, entry=path))
        for folder, size in sizes.items():
            kept.append(SharedKept(folder.split("/")[-2], folder, size, last_used[folder], leftover=True, entry=None))
        return sorted(kept, key=lambda one: (one.group, one.leftover, one.last_used))

    def remove_unused(self, one: SharedKept, since: datetime) -> bool:
        """Remove what was not used after `since`, the entry first, and tell whether it is gone."""
        folder = None if one.path == one.entry else one.path
        if folder is not None and self._last_used([folder])[folder] >= since:
            return False
        with self._reaching(), suppress(FileNotFoundError):  # another may be pruning too
            if one.entry is not None:
                self.root.filesystem.rm_file(one.entry)
            if folder is not None:
                self.root.filesystem.rm(folder, recursive=True)
        return True

    def _entry(self, stage: str, key: str, number: int) -> Located:
        return self.root.join(ENTRIES, stage, key, f"{number}.json")

    def _folder(self, stage: str, entry: Entry) -> Located:
        return self.root.join(FILES, stage, entry.folder)

    def _find(self, *parts: str) -> dict[str, int]:
        """Return the size of each file below a folder, by its path there; nothing if there is no such folder."""
        below = self.root.join(*parts).path
        with self._reaching():
            self.root.filesystem.invalidate_cache()
            try:
                found = self.root.filesystem.find(below, detail=True)
            except FileNotFoundError:
                return {}
        return {path.removeprefix(below).lstrip("/"): told["size"] for path, told in found.items()}

    def _read(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Return the bytes of files, side by side, without those that are not there."""
        if not (paths := list(paths)):
            return {}
        with self._reaching():
            found = self.root.filesystem.cat(paths, on_error="return")
            for error in found.values():
                if isinstance(error, Exception) and not isinstance(error, FileNotFoundError):
                    raise error
        return {path: content for path, content in found.items() if isinstance(content, bytes)}

    def _last_used(self, folders: Collection[str]) -> dict[str, datetime]:
        """Return when folders of files were last used, which is at the earliest when their upload began."""
        marks = self._read(f"{folder}/{LAST_USED}" for folder in folders)
        times = {}
        for folder in folders:
            times[folder] = datetime.strptime(folder.rsplit(".", 2)[-2], TIME).replace(tzinfo=UTC)
            with suppress(ValueError, KeyError):
                times[folder] = datetime.fromisoformat(marks[f"{folder}/{LAST_USED}"].decode())
        return times

    def _make_folders(self, paths: Iterable[str]) -> None:
        if self.root.is_local:  # a bucket has none
            for folder in {path.rsplit("/", 1)[0] for path in paths}:
                self.root.filesystem.makedirs(folder, exist_ok=True)

    def _reaching(self) -> AbstractContextManager[None]:
        return reaching(f"REPRISE_HOME {self.root.name}")


def _parse_entry(text: bytes | None) -> Entry | None:
    try:
        return None if text is None else Entry.model_validate_json(text)
    except ValidationError:
        return None
