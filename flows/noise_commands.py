"""`reprise noise`: how far trainings lie apart that differ by nothing but the seed."""

from typing import Annotated

import typer

from flows.configuring import resolve_config
from flows.options import AsJson, ConfigName, Data, Settings
from flows.progress import shown_work
from flows.starting import EVALUATION_IMPORTS, TRAINING_IMPORTS, running_prefect
from flows.terminal import out, print_json, print_table


def noise(
    config: ConfigName = None,
    data: Data = None,
    set_: Settings = None,
    seeds: Annotated[int, typer.Option(min=3, max=100, help="How many trainings.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Train with several seeds and keep the spread with the registered model: the gate promotes no smaller gain.

    Example: reprise noise --config imdb --seeds 5
    """
    resolved, note = resolve_config(config, data, set_ or [])
    quiet = resolved.model_copy(update={"training": resolved.training.model_copy(update={"verbosity": 0})})
    with shown_work(on_stderr=as_json):
        out.print(note, soft_wrap=True)
        with running_prefect("flows.noise", ahead=(*TRAINING_IMPORTS, *EVALUATION_IMPORTS)):
            from flows.noise import seed_noise

            found = seed_noise(quiet, seeds)
    if as_json:
        print_json({"model": resolved.registered_model, **found.model_dump(mode="json")})
        return
    first = resolved.training.seed
    rows = [[str(first + place), f"{accuracy:.2%}"] for place, accuracy in enumerate(found.accuracies)]
    print_table(f"{resolved.registered_model}, accuracy on the gate rows", ["seed", "accuracy"], rows)
    out.print(
        f"Two trainings differ by {100 * found.spread:.2f} points (standard deviation): "
        "the gate is undecided on a smaller gain.",
        soft_wrap=True,
    )
