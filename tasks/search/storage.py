"""Where a study is kept: a file in the workspace, or a database."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from configs.one_line import without_credentials
from configs.sweep import SweepConfig
from tasks.disk_space import tell_full_disk
from tasks.errors import ConfigError, DiskFull, InputError, RepriseError
from tasks.workspace import home

STUDIES = "sweeps"


@contextmanager
def reaching_storage(sweep: SweepConfig) -> Iterator[None]:
    """Turn what the storage raises in the block into one line.

    Raises:
        DiskFull: there is no room for the file that it is.
        RepriseError: the storage could not be reached, or refused.
    """
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, OSError) as error:
        if (told := tell_full_disk(error, studies_folder(), f"sweep {sweep.name} in")) is not None:
            raise DiskFull(told) from error
        first_line = str(error).strip().split("\n", 1)[0]
        raise RepriseError(without_credentials(f"storage of sweep {sweep.name}: {first_line}")) from error


def open_storage(sweep: SweepConfig) -> BaseStorage:
    """Return the sweep's storage, made where it is not there yet.

    Raises:
        ConfigError: the URL's driver is not known or not installed.
        RepriseError: the storage could not be reached, or refused.
    """
    with reaching_storage(sweep):
        if sweep.storage is None:
            return JournalStorage(_Journal(str(studies_folder() / f"{sweep.name}.journal")))
        try:
            return RDBStorage(sweep.storage)
        except (ArgumentError, ImportError) as error:
            raise ConfigError(f"storage: {str(error).strip().splitlines()[0]}") from None


@contextmanager
def study_alone(sweep: SweepConfig) -> Iterator[None]:
    """Have no other process of this workspace run trials of the study while the block lasts.

    Raises:
        InputError: another one does.
    """
    place = hashlib.sha256(f"{sweep.storage} {sweep.name}".encode()).hexdigest()[:8]
    lock = FileLock(studies_folder() / f".{sweep.name}-{place}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"sweep {sweep.name} is running already: wait for it, or give another name") from None
    try:
        yield
    finally:
        lock.release()


class _Journal(JournalFileBackend):  # type: ignore[misc]
    """A journal that goes on after half a line, which a full disk or a kill left: what follows such a line cannot be read."""

    def __init__(self, path: str) -> None:
        self._path, self._alone = path, JournalFileSymlinkLock(path)
        super().__init__(path, self._alone)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._alone.acquire()
        try:
            drop_half_line(Path(self._path))
        finally:
            self._alone.release()
        super().append_logs(logs)


def drop_half_line(journal: Path) -> None:
    """Cut a file after its last whole line."""
    with journal.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if not size or (file.seek(-1, os.SEEK_END), file.read())[1] == b"\n":
            return
        file.seek(0)
        file.truncate(sum(len(line) for line in file if line.endswith(b"\n")))


def studies_folder() -> Path:
    """Return the workspace's folder of studies, which is made."""
    folder = home() / STUDIES
    folder.mkdir(parents=True, exist_ok=True)
    return folder
