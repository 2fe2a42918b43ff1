"""`reprise sweep`: many trainings side by side, of which the best is registered."""

from typing import Annotated

import typer

from flows.configuring import resolve_config
from flows.options import Address, AsJson, ConfigName, Data, Runner, Settings, complete_presets
from flows.progress import shown_work
from flows.starting import running_prefect
from flows.terminal import out, print_json, print_result


def sweep(
    config: ConfigName = None,
    data: Data = None,
    set_: Settings = None,
    sweep: Annotated[
        str, typer.Option(help="A shipped sweep (imdb) or a YAML file.", autocompletion=complete_presets("sweeps"))
    ] = "imdb",
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
    with shown_work(on_stderr=as_json):
        out.print(note, soft_wrap=True)
        with running_prefect("flows.sweep", ahead=("tasks.validation.validate",)):
            from flows.sweep import sweep as run_sweep

            found = run_sweep(resolved, checked)
    if as_json:
        version, decision = found.training.version, found.training.decision
        told = {"sweep": checked.name, "run_id": found.run.run_id, "best": found.best.model_dump(mode="json")}
        print_json({**told, "model": version.name, "version": version.version, "decision": decision.model_dump(mode="json")})
        return
    values = ", ".join(f"{key}={value}" for key, value in found.best.params.items())
    out.print(f"Sweep {checked.name}: trial {found.best.number} is best, {checked.metric} {found.best.value}: {values}")
    print_result(found.training)
