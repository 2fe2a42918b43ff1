"""A working folder whose MLflow store can be put back to what it was."""

import shutil
import sqlite3
from contextlib import closing


class Story:
    """A working folder with an embedded store, which can be put back to what it was at moments that were kept."""

    def __init__(self, folder, migrated_store):
        self.folder, self.home, self.moments = folder, folder / "home", folder / "moments"
        (folder / "mlruns").mkdir()
        shutil.copy(migrated_store, folder / "mlruns" / "mlflow.db")

    def keep(self, moment):
        shutil.copytree(self.folder / "mlruns" / "artifacts", self.moments / moment / "artifacts")
        copy_database(self.folder / "mlruns" / "mlflow.db", self.moments / moment / "mlflow.db")

    def go_back(self, moment):
        shutil.rmtree(self.folder / "mlruns" / "artifacts")
        shutil.copytree(self.moments / moment / "artifacts", self.folder / "mlruns" / "artifacts")
        copy_database(self.moments / moment / "mlflow.db", self.folder / "mlruns" / "mlflow.db")


def copy_database(source, target):
    """Copy a database into another that MLflow may have open."""
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)
