"""`reprise sweep`: many trainings side by side, of which the best is registered."""

import json
from typing import Annotated

import typer

from flows.configuring import resolve_config
from flows.options import Address, AsJson, Runner
from flows.starting import running_prefect
from flows.terminal import keep_native_messages, out, print_result, show_log_lines
from tasks.workspace import home


def sweep(
    config: Annotated[str | None, typer.Option(help="A preset (imdb, sample) or a YAML file.")] = None,
    data: Annotated[str | None, typer.Option(help="Reviews: an .npz, a folder, a table, or an fsspec URL of one.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, as often as needed.")] = None,
    sweep: Annotated[str, typer.Option(help="A shipped sweep (imdb) or a YAML file.")] = "imdb",
    trials: Annotated[int | None, typer.Option(min=1, help="How many trials, those that are there included.")] = None,
    runner: Annotated[Runner | None, typer.Option(help="Where trials run.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="How many at once.")] = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Try many configurations side by side, train with the best one, and hand that to the gate.

    The same command again continues where it stopped.

    Example: reprise sweep --config imdb --trials 20 --runner dask --workers 4
    """
    from configs.loading import check_section, read_config
    from configs.sweep import PRESETS, SweepConfig

    resolved, note = resolve_config(config, data, set_ or [])
    tree = read_config(sweep, PRESETS)
    given = {"kind": runner, "workers": workers, "address": address}
    tree = {
        **tree,
        "runner": {**(tree.get("runner") or {}), **{key: value for key, value in given.items() if value is not None}},
    }
    if trials is not None:
        tree = {**tree, "trials": trials}
    checked = check_section(tree, f"sweep {sweep}", SweepConfig)
    if not as_json:
        out.print(note, soft_wrap=True)
        show_log_lines()
    keep_native_messages(home() / "logs" / "native.log")
    with running_prefect("flows.sweep", ahead=("tasks.validation.validate",)):
        from flows.sweep import sweep as run_sweep

        found = run_sweep(resolved, checked)
    if as_json:
        told = {"sweep": checked.name, "best": found.best.model_dump(mode="json")}
        print(json.dumps({**told, "version": found.training.version.version}))  # noqa: T201
        return
    values = ", ".join(f"{key}={value}" for key, value in found.best.params.items())
    out.print(f"Sweep {checked.name}: trial {found.best.number} is best, {checked.metric} {found.best.value}: {values}")
    print_result(found.training)
