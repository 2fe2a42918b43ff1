"""Where a study is kept: a file in the workspace, or a database."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from configs.sweep import SweepConfig
from tasks.errors import ConfigError, InputError, RepriseError
from tasks.workspace import home

STUDIES = "sweeps"


@contextmanager
def reaching_storage(sweep: SweepConfig) -> Iterator[None]:
    """Turn what the storage raises in the block into one line.

    Raises:
        RepriseError: the storage could not be reached, or refused.
    """
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, OSError) as error:
        first_line = re.sub(r"://[^/@\s]*@", "://", str(error).strip().split("\n", 1)[0])
        raise RepriseError(f"storage of sweep {sweep.name}: {first_line}") from error


def open_storage(sweep: SweepConfig) -> BaseStorage:
    """Return the sweep's storage, made where it is not there yet.

    Raises:
        ConfigError: the URL's driver is not known or not installed.
        RepriseError: the storage could not be reached, or refused.
    """
    with reaching_storage(sweep):
        if sweep.storage is None:
            return JournalStorage(JournalFileBackend(str(studies_folder() / f"{sweep.name}.journal")))
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


def studies_folder() -> Path:
    """Return the workspace's folder of studies, which is made."""
    folder = home() / STUDIES
    folder.mkdir(parents=True, exist_ok=True)
    return folder
