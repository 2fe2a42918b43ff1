"""What to score, with which version, and where to put the result: the parameters of the scoring flow."""

from typing import Annotated

from pydantic import Field

from configs.runners import RunnerConfig
from configs.schema import Location, Positive, Section


class ScoringConfig(Section):
    """A table of texts to be scored.

    `input` and `output` are local paths or fsspec URLs, without credentials, of CSV, TSV, JSONL or Parquet, plain or gzip.
    `model` is a registered model, None for the only one; `version` a number or alias. `prefix` stands before the names of
    the columns that are added. A part of `rows_per_part` rows is what a worker scores at a time, and what outlives a kill.
    """

    input: Location
    output: Location
    model: str | None = None
    version: str = "champion"
    text_column: Annotated[str, Field(min_length=1)] = "text"
    prefix: str = ""
    rows_per_part: Positive = 10_000
    runner: RunnerConfig = RunnerConfig()
