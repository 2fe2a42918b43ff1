"""Options that several commands take."""

from typing import Annotated, Literal

import typer

Model = Annotated[str | None, typer.Option("--model", help="Registered model; needed where there are several.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

Runner = Literal["threads", "processes", "dask", "ray"]
Address = Annotated[str | None, typer.Option(help="A Dask or Ray cluster that is there, instead of one started here.")]
