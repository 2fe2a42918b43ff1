"""Options that several commands take."""

from typing import Annotated

import typer

Model = Annotated[str | None, typer.Option("--model", help="Registered model; needed where there are several.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
