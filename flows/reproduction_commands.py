"""`reprise reproduce`: a version built again from its record."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from flows.options import AsJson, Model, complete_versions
from flows.progress import shown_work
from flows.starting import TRAINING_IMPORTS, running_prefect
from flows.terminal import out, print_json

if TYPE_CHECKING:
    from tasks.handles import Reproduction


def reproduce(
    version: Annotated[str, typer.Argument(help="A version's number or alias.", autocompletion=complete_versions)],
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Train a version again from its record and compare the weights bit for bit: exit 0 identical, 1 different.

    Example: reprise reproduce champion --model imdb-lstm
    """
    with shown_work(on_stderr=as_json), running_prefect("flows.reproduction", ahead=TRAINING_IMPORTS):
        from flows.reproduction import reproduction
        from tasks.registration.versions import choose_model, find_version

        summary = find_version(choose_model(model), version).summary
        result = reproduction(summary.name, summary.version)
    if as_json:
        print_json({"model": summary.name, "version": summary.version, **result.model_dump()})
    else:
        _print(f"{summary.name} version {summary.version}", result)
    if not result.identical:
        raise typer.Exit(1)


def _print(title: str, result: "Reproduction") -> None:
    others = [difference for difference in result.circumstances if difference != result.differs]
    if result.identical:
        out.print(f"[green]identical[/]: {escape(title)} has the weights {result.weights_sha256} again", soft_wrap=True)
        note = "differs, and changed no weight"
    else:
        out.print(f"[red]different[/]: {escape(title)}: {escape(result.differs or '')}", soft_wrap=True)
        out.print(f"weights {result.expected_sha256} -> {result.weights_sha256 or 'none: nothing was trained'}", soft_wrap=True)
        note = "differs also"
    for difference in others:
        out.print(f"{note}: {difference}", soft_wrap=True, markup=False)
