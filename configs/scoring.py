"""What to score, with which version, and where to put the result: the parameters of the scoring flow."""

from typing import Annotated

from pydantic import Field

from configs.runners import RunnerConfig
from configs.schema import Location, Positive, Section


class ScoringConfig(Section):
    """A table of texts to be scored."""

    input: Location
    """Local path or fsspec URL, without credentials, of CSV, TSV, JSONL or Parquet, plain or gzip."""
    output: Location
    """Where it is written with its scores, in any of these formats."""
    model: str | None = None
    """Registered model; without it, the only one."""
    version: str = "champion"
    """A version's number or alias."""
    text_column: Annotated[str, Field(min_length=1)] = "text"
    """Column of the texts."""
    prefix: str = ""
    """What stands before the names of the columns that are added."""
    rows_per_part: Positive = 10_000
    """Rows that a worker scores at a time, and that a kill can cost."""
    runner: RunnerConfig = RunnerConfig()
    """Where parts are scored."""
