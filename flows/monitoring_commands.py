"""`reprise monitor`: whether new reviews are like those that the champion was evaluated on."""

from typing import Annotated

import typer

from flows.options import AsJson, Model
from flows.progress import shown_work
from flows.starting import running_prefect
from flows.terminal import out, print_json, print_table

COLUMNS = ("signal", "outcome", "reference", "new", "difference", "threshold", "p-value")
"""Those of the report's that a terminal has room for."""
IMPORTS = ("tasks.monitoring.comparison", "tasks.monitoring.figures", "keras")


def monitor(
    new_reviews: Annotated[str, typer.Argument(help="A table, a folder of tables or of .txt files, or an fsspec URL of one.")],
    model: Model = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="reviews.key=value or monitoring.key=value, as often as needed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare new reviews, with or without labels, with the champion's reference; drift sets off an event.

    Example: reprise monitor new.csv --set monitoring.stability_index=0.2
    """
    from configs.loading import check_section, override
    from configs.monitoring import MonitoringRequest

    tree = override({"reviews": {"path": new_reviews}}, set_ or [])
    asked = check_section(tree, "reprise monitor", MonitoringRequest)
    with shown_work(on_stderr=as_json), running_prefect("flows.monitoring", ahead=IMPORTS):
        from flows.monitoring import monitoring
        from tasks.registration.versions import choose_model

        drift = monitoring(choose_model(model), asked.reviews, asked.monitoring)
    if as_json:
        print_json(drift.model_dump(mode="json"))
        return
    if drift.signals:
        from tasks.monitoring.report import list_signals

        title = f"{drift.model} version {drift.version}, {drift.rows:,} new reviews"
        print_table(title, COLUMNS, [[row[column] for column in COLUMNS] for row in list_signals(drift)])
    out.print(drift.sentence, soft_wrap=True, markup=False)
