"""Options that several commands take, and what a shell offers to complete them with: nothing that needs a server."""

from collections.abc import Callable
from typing import Annotated, Literal

import typer

ALIASES = ("champion", "challenger")


def complete_presets(folder: str = "") -> Callable[[str], list[str]]:
    """Return what completes the name of a shipped preset, of those in a folder where one is named."""

    def complete(incomplete: str) -> list[str]:
        from configs.loading import preset_names

        return [name for name in preset_names(folder) if name.startswith(incomplete)]

    return complete


def complete_versions(incomplete: str) -> list[str]:
    """Return the aliases that begin so."""
    return [alias for alias in ALIASES if alias.startswith(incomplete)]


ConfigName = Annotated[
    str | None,
    typer.Option("--config", help="A preset (imdb, imdb-best, sample) or a YAML file.", autocompletion=complete_presets()),
]
Data = Annotated[str | None, typer.Option("--data", help="Reviews: an .npz, a folder, a table, or an fsspec URL of one.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="section.key=value, as often as needed.")]
Model = Annotated[str | None, typer.Option("--model", help="Registered model; needed where there are several.")]
Version = Annotated[str, typer.Option("--version", help="A version's number or alias.", autocompletion=complete_versions)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, and all else on standard error.")]

Runner = Literal["threads", "processes", "dask", "ray"]
Address = Annotated[
    str | None, typer.Option("--address", help="A Dask or Ray cluster that is there, instead of one started here.")
]
