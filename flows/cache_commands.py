"""`reprise cache`: what the workspace keeps, how much room it takes, and what may go."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.filesize import decimal

from flows.options import AsJson
from flows.progress import shown_work
from flows.terminal import out, print_json, print_table
from tasks.errors import InputError
from tasks.results import Kept, list_kept, prune
from tasks.workspace import shared_home

if TYPE_CHECKING:
    from tasks.bucket import SharedKept

Listed: TypeAlias = "Kept | SharedKept"

app = typer.Typer(invoke_without_command=True)

AGE_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


@app.callback()
def show(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what stages and runs keep in the workspace, and in the bucket of REPRISE_HOME, and how much room it takes.

    Example: reprise cache
    """
    if context.invoked_subcommand is not None:
        if as_json:
            raise InputError(f"--json stands after the command: reprise cache {context.invoked_subcommand} --json")
        return
    kept, shared = list_kept(), _list_shared()
    if as_json:
        record = _summarize_all(kept)
        if shared_home() is not None:
            record["shared"] = {"place": shared_home(), **_summarize_all(shared)}
        print_json(record)
        return
    if kept:
        _print_groups("Cache", kept)
    else:
        out.print("The cache is empty: reprise train fills it.")
    if shared:
        _print_groups(f"Shared in {shared_home()}", shared)


@app.command("prune")
def remove_old(
    older_than: Annotated[str, typer.Option(help="Time since the last use, in hours, days or weeks: 12h, 30d, 2w.")],
    as_json: AsJson = False,
) -> None:
    """Remove stage results and run folders that were not used for a time, and what killed processes left.

    What a running training uses stays. Where REPRISE_HOME is a URL, what machines share there goes by the same age.
    MLflow's runs and models are not touched.

    Example: reprise cache prune --older-than 30d
    """
    age = read_age(older_than)
    with shown_work(on_stderr=True, keep_native=False):
        removed, spared = prune(age)
        shared = _prune_shared(age)
    if as_json:
        record = {
            "removed": [one._asdict() for one in removed],
            "in_use": [one._asdict() for one in spared],
            "bytes_freed": _count_bytes(removed),
        }
        if shared_home() is not None:
            gone = [one._asdict() for one in shared]
            record["shared"] = {"place": shared_home(), "removed": gone, "bytes_freed": _count_bytes(shared)}
        print_json(record)
        return
    _print_removed("Removed", removed)
    for one in spared:
        out.print(f"Kept, since a running training uses it: {one.group} {one.path.name}", soft_wrap=True, markup=False)
    out.print(f"{len(removed)} removed, {decimal(_count_bytes(removed))} freed.")
    if shared_home() is not None:
        _print_removed("Removed from the bucket", shared)
        out.print(
            f"{len(shared)} shared removed, {decimal(_count_bytes(shared))} freed in {shared_home()}.",
            soft_wrap=True,
            markup=False,
        )


def read_age(text: str) -> timedelta:
    """Return the time that a number of hours, days or weeks stands for: 12h, 30d, 2w.

    Raises:
        InputError: the text is no such number.
    """
    match = re.fullmatch(r"([0-9]{1,5})([hdw])", text)
    if match is None:
        raise InputError(f"--older-than {text!r} is no time: give whole hours, days or weeks, such as 12h, 30d or 2w")
    return timedelta(**{AGE_UNITS[match[2]]: int(match[1])})


def _list_shared() -> "list[SharedKept]":
    if shared_home() is None:
        return []
    from tasks.shared_results import list_shared

    return list_shared()


def _prune_shared(age: timedelta) -> "list[SharedKept]":
    if shared_home() is None:
        return []
    from tasks.shared_results import prune_shared

    return prune_shared(age)


def _print_groups(title: str, kept: Sequence[Listed]) -> None:
    rows = [
        [group["name"], str(group["folders"]), str(group["in_use"] or ""), decimal(group["bytes"]), _show(group["last_used"])]
        for group in _summarize_all(kept)["groups"]
    ]
    rows.append(["total", str(len(kept)), str(sum(one.in_use for one in kept) or ""), decimal(_count_bytes(kept)), ""])
    print_table(title, ["what", "folders", "in use", "size", "last used"], rows)


def _print_removed(title: str, removed: Sequence[Listed]) -> None:
    if removed:
        rows = [[_shown_group(one), Path(one.path).name, decimal(one.bytes), _show(one.last_used)] for one in removed]
        print_table(title, ["what", "folder", "size", "last used"], rows)


def _shown_group(one: Listed) -> str:
    return f"{one.group}, unfinished" if one.leftover else one.group


def _summarize_all(kept: Sequence[Listed]) -> dict[str, Any]:
    groups = [_summarize(name, list(members)) for name, members in groupby(kept, key=_shown_group)]
    return {"groups": groups, "bytes": _count_bytes(kept)}


def _summarize(name: str, members: Sequence[Listed]) -> dict[str, Any]:
    return {
        "name": name,
        "folders": len(members),
        "in_use": sum(one.in_use for one in members),
        "bytes": _count_bytes(members),
        "last_used": max(one.last_used for one in members),
    }


def _count_bytes(kept: Sequence[Listed]) -> int:
    return sum(one.bytes for one in kept)


def _show(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
