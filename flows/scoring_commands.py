"""`reprise score`: a file of texts -> the same file with scores."""

from typing import Annotated

import typer

from flows.options import Address, AsJson, Model, Runner, Version
from flows.progress import shown_work
from flows.starting import running_prefect
from flows.terminal import out, print_json

TABLE = "CSV, TSV, JSONL or Parquet, plain or .gz; a path or an fsspec URL."


def score(
    input_: Annotated[str, typer.Argument(metavar="IN", help=f"The texts: {TABLE}")],
    output: Annotated[str, typer.Argument(metavar="OUT", help=f"Where to write them with their scores: {TABLE}")],
    model: Model = None,
    version: Version = "champion",
    text_column: Annotated[str, typer.Option(help="The column of the texts.")] = "text",
    prefix: Annotated[str, typer.Option(help="What stands before the names of the columns that are added.")] = "",
    runner: Annotated[Runner, typer.Option(help="Where parts are scored.")] = "threads",
    workers: Annotated[int, typer.Option(min=1, help="How many parts are scored at once.")] = 2,
    address: Address = None,
    rows_per_part: Annotated[
        int, typer.Option(min=1, help="Rows that a worker scores at a time, and a kill can cost.")
    ] = 10_000,
    as_json: AsJson = False,
) -> None:
    """Score a file of texts with a registered model; rows and columns stay as they are, and scores are added.

    The output is there whole or not at all. After a kill, the same command goes on where it was.

    Example: reprise score reviews.csv scored.parquet --text-column review
    """
    from configs.loading import check_section
    from configs.scoring import ScoringConfig

    config = check_section(
        {
            "input": input_,
            "output": output,
            "model": model,
            "version": version,
            "text_column": text_column,
            "prefix": prefix,
            "rows_per_part": rows_per_part,
            "runner": {"kind": runner, "workers": workers, "address": address},
        },
        "reprise score",
        ScoringConfig,
    )
    from tasks.registration.scoring import pin_version
    from tasks.scoring.request import check_request

    check_request(config)
    pin_version(model, version)
    ahead = ("tasks.training.network",) if runner == "threads" else ()
    with shown_work(on_stderr=True), running_prefect("flows.scoring", ahead=ahead):
        from flows.scoring import scoring

        result = scoring(config)
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    kept = f", {result.reused_parts} of {result.parts} parts from before" if result.reused_parts else ""
    out.print(
        f"{result.rows:,} rows scored with {result.model} version {result.version}, {result.errors:,} with an error instead, "
        f"in {result.seconds:.1f} s ({result.rows_per_second:,.0f} rows/s{kept}): {result.output}",
        soft_wrap=True,
        markup=False,
    )
