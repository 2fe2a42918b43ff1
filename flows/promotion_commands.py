"""`reprise promote`, `rollback`, `history`, `champion`, `verify`: who is champion, why, and how another takes its place."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from flows.options import AsJson, Model, complete_versions
from flows.progress import shown_work
from flows.starting import running_prefect
from flows.terminal import out, print_json, print_markdown, print_table, print_warning
from tasks.errors import InputError, RepriseError
from tasks.handles import LedgerEntry

Reason = Annotated[str | None, typer.Option("--reason", help="Why, in a sentence; it is kept in the ledger.")]


def promote(
    version: Annotated[str, typer.Argument(help="A version's number or alias.", autocompletion=complete_versions)],
    model: Model = None,
    override: Annotated[bool, typer.Option("--override", help="Do not ask the gate; needs --reason.")] = False,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Have the gate compare a version with the champion as things are now, and promote it if it passes.

    Exit 0 whatever the gate says. With --override the version becomes champion for your reason alone, and is entered so.

    Example: reprise promote 4 --model imdb-lstm
    """
    if override and reason is None:
        raise InputError("--override needs --reason TEXT: the ledger keeps why the gate was not asked")
    if reason is not None and not override:
        raise InputError("--reason belongs to --override: the gate gives its own")
    name, number = _find(model, version)
    ahead = () if override else ("tasks.validation.validate", "tasks.registration.comparing")
    with shown_work(on_stderr=as_json), running_prefect("flows.promotion", ahead=ahead):
        from flows.promotion import override as override_gate
        from flows.promotion import promotion

        found = override_gate(name, number, reason or "") if override else promotion(name, number)
    if isinstance(found, LedgerEntry):
        _tell_entry(name, found, as_json=as_json)
        return
    if as_json:
        print_json({"model": name, "version": number, **found.model_dump(mode="json")})
        return
    from tasks.gate_report import gate_lines

    out.print(f"[bold]{found.outcome}[/]: {escape(found.reason)}", soft_wrap=True)
    print_markdown("\n".join(gate_lines(found)))


def rollback(
    reason: Annotated[str, typer.Option("--reason", help="Why, in a sentence; it is kept in the ledger.")],
    to: Annotated[
        str | None,
        typer.Option(
            help="The version to go back to; without it, the champion before this one.", autocompletion=complete_versions
        ),
    ] = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Make an earlier champion the champion again, after its files were checked and loaded.

    Example: reprise rollback --reason "unknown words doubled since Monday"
    """
    name, number = _find(model, to) if to is not None else (_choose(model), None)
    with shown_work(on_stderr=as_json), running_prefect("flows.promotion"):
        from flows.promotion import rollback as roll_back

        entry = roll_back(name, number, reason)
    _tell_entry(name, entry, as_json=as_json)


def history(model: Model = None, as_json: AsJson = False) -> None:
    """Show the promotion ledger: every decision, who or what took it, when and why.

    Example: reprise history --model imdb-lstm
    """
    from rich.padding import Padding
    from rich.text import Text

    from tasks.gate_report import tell_change
    from tasks.registration.ledger import read_ledger

    name = _choose(model)
    entries = read_ledger(name)
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in entries])
        return
    out.print(f"[bold]Promotion ledger of {name}[/], {len(entries)} entries, times in UTC", soft_wrap=True)
    for entry in entries:
        moved = entry.champion_before != entry.champion_after
        style = "green" if moved else "yellow" if entry.outcome == "refused" else "none"
        outcome = f"[{style}]{entry.outcome:<9}[/] version {entry.version}, by {entry.action}, champion {tell_change(entry)}"
        out.print(f"{entry.number:>4}  {entry.time:%Y-%m-%d %H:%M:%S}  {outcome}", soft_wrap=True)
        out.print(Padding(Text(f"{entry.actor}: {entry.reason}"), (0, 0, 0, 6)))


def champion(
    at: Annotated[str | None, typer.Option(help="A moment in ISO 8601; UTC unless it says otherwise.")] = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Say which version is champion, or was at a moment, and why.

    Example: reprise champion --at 2026-11-01T12:00
    """
    from tasks.registration.ledger import champion_of, entries_until, read_ledger
    from tasks.registration.promotion import find_disagreement

    name = _choose(model)
    moment = read_moment(at) if at is not None else datetime.now(UTC)
    entries = read_ledger(name)
    if at is not None:  # else the newest one counts, though the clock was put back since
        entries = entries_until(entries, moment)
    number = champion_of(entries)
    entry = next((entry for entry in reversed(entries) if entry.outcome == "promote"), None)
    if as_json:
        made = None if entry is None else entry.model_dump(mode="json")
        print_json({"model": name, "at": moment.isoformat(), "version": number, "entry": made})
    elif entry is None:
        out.print(f"{name} had no champion at {moment:%Y-%m-%d %H:%M:%S} UTC.")
    else:
        out.print(f"{name} version {number}, since {entry.time:%Y-%m-%d %H:%M:%S} UTC, by {entry.action}.", soft_wrap=True)
        out.print(entry.reason, soft_wrap=True, markup=False)
    disagreement = find_disagreement(name) if at is None else None
    if disagreement is not None:
        print_warning(disagreement)


def verify(
    version: Annotated[
        str | None,
        typer.Argument(help="A version's number or alias; without it, every version.", autocompletion=complete_versions),
    ] = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Check the ledger, the champion's alias, and every file of the versions against what was registered: exit 0 if all hold.

    Example: reprise verify --model imdb-lstm
    """
    from tasks.registration.verification import verify_model

    name = _choose(model)
    with shown_work(on_stderr=True, keep_native=False):
        findings = verify_model(name, version)
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        rows = [
            [finding.subject, "holds" if finding.trouble is None else "FAILED", finding.trouble or ""] for finding in findings
        ]
        print_table(f"Verification of {name}", ["what", "", "trouble"], rows)
    failed = sum(finding.trouble is not None for finding in findings)
    if failed:
        raise RepriseError(f"{failed} of {len(findings)} checks of {name} failed")


def read_moment(text: str) -> datetime:
    """Return a moment that is given in ISO 8601, in UTC where it names no time zone.

    Raises:
        InputError: the text is no such moment.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"--at {text!r} is no moment: write it as 2026-11-01T12:00 or 2026-11-01T12:00+01:00") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _choose(model: str | None) -> str:
    from tasks.registration.versions import choose_model

    return choose_model(model)


def _find(model: str | None, version: str) -> tuple[str, str]:
    from tasks.registration.versions import find_version

    summary = find_version(_choose(model), version).summary
    return summary.name, summary.version


def _tell_entry(name: str, entry: LedgerEntry, *, as_json: bool) -> None:
    if as_json:
        print_json({"model": name, **entry.model_dump(mode="json")})
        return
    before = f"version {entry.champion_before}" if entry.champion_before else "no champion"
    out.print(
        f"{name} version {entry.version} is champion, after {before}: {entry.action}, entry {entry.number}.", soft_wrap=True
    )
