"""`reprise cache`: what the workspace keeps, how much room it takes, and what may go."""

import json
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.filesize import decimal

from flows.options import AsJson
from flows.terminal import out, print_table
from tasks.errors import InputError
from tasks.results import Kept, list_kept, prune

app = typer.Typer(invoke_without_command=True)

AGE_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


@app.callback()
def show(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what stages and runs keep in the workspace, and how much room it takes.

    Example: reprise cache
    """
    if context.invoked_subcommand is not None:
        if as_json:
            raise InputError(f"--json stands after the command: reprise cache {context.invoked_subcommand} --json")
        return
    kept = list_kept()
    groups = [_summarize(name, list(members)) for name, members in groupby(kept, key=_shown_group)]
    size = sum(one.bytes for one in kept)
    if as_json:
        print(json.dumps({"groups": groups, "bytes": size}, default=_write))  # noqa: T201
        return
    if not kept:
        out.print("The cache is empty: reprise train fills it.")
        return
    rows = [
        [group["name"], str(group["folders"]), str(group["in_use"] or ""), decimal(group["bytes"]), _show(group["last_used"])]
        for group in groups
    ]
    rows.append(["total", str(len(kept)), str(sum(one.in_use for one in kept) or ""), decimal(size), ""])
    print_table("Cache", ["what", "folders", "in use", "size", "last used"], rows)


@app.command("prune")
def remove_old(
    older_than: Annotated[str, typer.Option(help="Time since the last use, in hours, days or weeks: 12h, 30d, 2w.")],
    as_json: AsJson = False,
) -> None:
    """Remove stage results and run folders that were not used for a time, and what killed processes left.

    What a running training uses stays. MLflow's runs and models are not touched.

    Example: reprise cache prune --older-than 30d
    """
    removed, spared = prune(read_age(older_than))
    freed = sum(one.bytes for one in removed)
    if as_json:
        record = {
            "removed": [one._asdict() for one in removed],
            "in_use": [one._asdict() for one in spared],
            "bytes_freed": freed,
        }
        print(json.dumps(record, default=_write))  # noqa: T201
        return
    if removed:
        rows = [[_shown_group(one), one.path.name, decimal(one.bytes), _show(one.last_used)] for one in removed]
        print_table("Removed", ["what", "folder", "size", "last used"], rows)
    for one in spared:
        out.print(f"Kept, since a running training uses it: {one.group} {one.path.name}", soft_wrap=True, markup=False)
    out.print(f"{len(removed)} removed, {decimal(freed)} freed.")


def read_age(text: str) -> timedelta:
    """Return the time that a number of hours, days or weeks stands for: 12h, 30d, 2w.

    Raises:
        InputError: the text is no such number.
    """
    match = re.fullmatch(r"([0-9]{1,5})([hdw])", text)
    if match is None:
        raise InputError(f"--older-than {text!r} is no time: give whole hours, days or weeks, such as 12h, 30d or 2w")
    return timedelta(**{AGE_UNITS[match[2]]: int(match[1])})


def _shown_group(one: Kept) -> str:
    return f"{one.group}, unfinished" if one.leftover else one.group


def _summarize(name: str, members: Sequence[Kept]) -> dict[str, Any]:
    return {
        "name": name,
        "folders": len(members),
        "in_use": sum(one.in_use for one in members),
        "bytes": sum(one.bytes for one in members),
        "last_used": max(one.last_used for one in members),
    }


def _write(value: datetime | Path) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _show(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
