"""Whether a table can be scored and written at all, as far as that can be told before it is read."""

from pathlib import Path
from typing import NamedTuple

from configs.scoring import ScoringConfig
from tasks.errors import InputError
from tasks.ingestion.files import Located, is_file, is_folder, locate, parent
from tasks.ingestion.table_formats import EXTENSIONS
from tasks.ingestion.tables import table_extension
from tasks.scoring.writing import BUCKETS
from tasks.workspace import shared_home


class Request(NamedTuple):
    """What to read and what to write."""

    source: Located
    source_extension: str
    output: Located
    output_extension: str

    @property
    def as_lines(self) -> bool:
        """Whether lines of JSONL stay as they are written."""
        return self.source_extension.startswith(".jsonl") and self.output_extension.startswith(".jsonl")


def check_request(config: ScoringConfig) -> Request:
    """Find input and output.

    Raises:
        InputError: one is no table, the input is missing, or the output has no folder, is one, or is the input.
        DownloadError: a host did not answer.
    """
    if config.runner.address is not None and shared_home() is not None:
        raise InputError(
            "a cluster's workers find the parts in the workspace: to score on one, REPRISE_HOME must be on a disk that its "
            "machines share, not a URL"
        )
    source, output = locate(config.input), locate(config.output)
    extensions = [_extension(file) for file in (source, output)]
    if not is_file(source):
        raise InputError(f"no such file: {source.name}")
    if _is_same(source, output):
        raise InputError(f"{output.name} is the input: write to another file")
    if is_folder(output):
        raise InputError(f"{output.name} is a folder: name a file in it")
    folder = _needed_folder(output)
    if folder is not None and not is_folder(folder):
        raise InputError(f"cannot write {output.name}: there is no {folder.name}")
    return Request(source, extensions[0], output, extensions[1])


def _extension(file: Located) -> str:
    extension = table_extension(file.name)
    if extension is None:
        raise InputError(f"{file.name} is no table: its name ends in none of {', '.join(EXTENSIONS)}")
    return extension


def _is_same(source: Located, output: Located) -> bool:
    if source.is_local and output.is_local:
        return Path(source.path).resolve() == Path(output.path).resolve()
    return bool(source.filesystem == output.filesystem and source.path == output.path)


def _needed_folder(file: Located) -> Located | None:
    """Return what must be there for a file to be written: its folder, or on a bucket store its bucket."""
    protocol = file.filesystem.protocol
    kinds = {protocol} if isinstance(protocol, str) else set(protocol)
    if not kinds & set(BUCKETS):
        return Located(parent(file.name), file.filesystem, parent(file.path))
    bucket = file.path.lstrip("/").split("/")[0]
    return None if "memory" in kinds else Located(f"bucket {bucket}", file.filesystem, bucket)
