"""Writes docs/reference from the schemas and the command itself: python -m tests.documentation.reference."""

import inspect
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from configs.monitoring import MonitoringRequest
from configs.schedule import ScheduleConfig
from configs.schema import Config, Section
from configs.scoring import ScoringConfig
from configs.serving import ServingConfig
from configs.sweep import SweepConfig

FOLDER = Path(__file__).parents[2] / "docs/reference"
GENERATED = "<!-- Written by `make docs`: change the source, not this page. -->\n"
SCHEMAS: tuple[tuple[str, type[Section], str], ...] = (
    (
        "A training",
        Config,
        "The file or preset of `--config`, and `--set KEY=VALUE`, of `train`, `sweep`, `noise` and `schedule`. "
        "[How it is read](../configuration.md).",
    ),
    (
        "A schedule",
        ScheduleConfig,
        "The file or preset of `reprise schedule --schedule`, and `--set schedule.KEY=VALUE`. [How to](../schedule.md).",
    ),
    ("A sweep", SweepConfig, "The file or preset of `reprise sweep --sweep`. [How to](../sweeps.md)."),
    (
        "A scoring",
        ScoringConfig,
        "The parameter `config` of the deployment `scoring`; `reprise score` has an option for each. [How to](../scoring.md).",
    ),
    ("A model server", ServingConfig, "`reprise serve` has an option for each. [How to](../serving.md)."),
    ("A comparison", MonitoringRequest, "`--set KEY=VALUE` of `reprise monitor`. [How to](../monitoring.md)."),
)
TYPES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false", "null": "null"}
BOUNDS = {
    "exclusiveMinimum": "above {}",
    "minimum": "{} or more",
    "exclusiveMaximum": "below {}",
    "maximum": "{} or less",
    "minLength": "{} character or more",
    "minItems": "{} or more of them",
    "minProperties": "{} or more of them",
    "pattern": "`{}`",
}
REQUIRED = "(required)"
COLUMNS = ["key", "type", "default", "bounds", "meaning"]
LINKED = {
    "ScoringConfig": "#a-scoring",
    "DataSource": "#a-comparison-reviews",
    "MonitoringConfig": "#a-comparison-monitoring",
}
"""Sections within others that are told of in one place."""


def write_configuration() -> str:
    """Return the page of every key of every configuration."""
    lines = ["# Configuration keys\n", GENERATED]
    for title, schema, use in SCHEMAS:
        tree = schema.model_json_schema()
        sections = {name: part for name, part in tree["properties"].items() if _section_of(part) is not None}
        plain = {name: part for name, part in tree["properties"].items() if name not in sections}
        lines += [f"## {title}\n", f"{_described(tree)} {use}\n", *_table(COLUMNS, _keys(tree, plain))]
        for name, part in sections.items():
            definition = tree["$defs"][_section_of(part)]
            lines += [f"### {title}: `{name}`\n", f"{_described(part)} {_described(definition)}".strip() + "\n"]
            lines += _table(COLUMNS, _keys(tree, definition["properties"], _prefix(name, part), part.get("default")))
    return "\n".join(lines)


def _keys(tree: dict[str, Any], properties: dict[str, Any], prefix: str = "", given: Any = None) -> Iterator[list[str]]:
    """Yield the row of each key, and of the keys below it; `given` are the defaults of the section that is looked at."""
    for name, part in properties.items():
        default = given[name] if isinstance(given, dict) and name in given else part.get("default", REQUIRED)
        section = _section_of(part)
        shown = default if default == REQUIRED else "" if isinstance(default, dict) and section else f"`{json.dumps(default)}`"
        link = LINKED.get(section or "")
        kind = f"[as there]({link})" if link else _type(part)
        yield [f"`{prefix}{name}`", kind, shown, _bounds(part), _described(part)]
        if section and not link:
            yield from _keys(tree, tree["$defs"][section]["properties"], f"{prefix}{_prefix(name, part)}", default)


def _prefix(name: str, part: dict[str, Any]) -> str:
    return f"{name}.KEY." if "additionalProperties" in part else f"{name}."


def _section_of(part: dict[str, Any]) -> str | None:
    """Return the name of the section that a property holds, be it optional or one of a mapping's."""
    for one in (part, part.get("additionalProperties"), *part.get("anyOf", [])):
        if isinstance(one, dict) and "$ref" in one:
            return str(one["$ref"].rsplit("/", 1)[-1])
    return None


def _type(part: dict[str, Any]) -> str:
    if "anyOf" in part:
        kinds = [_type(one) for one in part["anyOf"]]
        return " or ".join(kind for kind in dict.fromkeys(kinds) if not (kind == "whole number" and "number" in kinds))
    if "$ref" in part:
        return "section"
    if "enum" in part or "const" in part:
        return ", ".join(f"`{value}`" for value in part.get("enum", [part.get("const")]))
    if part["type"] == "array":
        return f"list of {_type(part['items'])}"
    if part["type"] == "object":
        return (
            f"mapping of {_type({'type': 'string', **part.get('propertyNames', {})})} to {_type(part['additionalProperties'])}"
        )
    return TYPES[part["type"]]


def _bounds(part: dict[str, Any]) -> str:
    parts = [part, part.get("items", {}), part.get("additionalProperties", {}), *part.get("anyOf", [])]
    parts += [one["items"] for one in part.get("anyOf", []) if "items" in one]
    found = [
        text.format(f"{one[name]:,}" if isinstance(one[name], int) else one[name])
        for one in parts
        if isinstance(one, dict)
        for name, text in BOUNDS.items()
        if name in one
    ]
    return ", ".join(dict.fromkeys(found))


def _described(part: dict[str, Any]) -> str:
    return " ".join(part.get("description", "").split())


def write_commands() -> str:
    """Return the page of every command, as `--help` tells of it."""
    from typer.main import get_command

    from flows.cli import app

    group = get_command(app)
    lines = ["# Commands\n", GENERATED]
    lines.append(
        "Exit 0: done, keeping the champion included; 2: what was given is at fault; 1: anything else; 130: stopped by Ctrl-C. "
        "Errors are one line on standard error; `--debug`, anywhere, adds where they come from.\n"
    )
    for name, command in sorted(_walk(group, "reprise")):
        if name == "reprise":
            continue
        lines += [f"## {name}\n", *_help(command.help or ""), *_parameters(command)]
    return "\n".join(lines)


def _walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    yield name, command
    for below, inner in getattr(command, "commands", {}).items():
        yield from _walk(inner, f"{name} {below}")


def _help(text: str) -> list[str]:
    """Return the paragraphs of a help text; one that is an example becomes a block."""
    lines = []
    for paragraph in inspect.cleandoc(text.replace("\b", "")).split("\n\n"):
        flat = " ".join(paragraph.split())
        found = re.fullmatch(r"Examples?: (.*)", flat)
        lines.append(f"```sh\n{found[1]}\n```\n" if found else f"{flat}\n")
    return lines


def _parameters(command: Any) -> list[str]:
    rows = []
    for one in command.params:
        argument = one.param_type_name == "argument"
        name = (one.metavar or one.name.upper()) if argument else ", ".join([*one.opts, *one.secondary_opts])
        schema = TypeAdapter(one.type_descriptor.annotation).json_schema()
        kind = "" if schema.get("type") == "boolean" else _type(schema.get("items", schema))
        bounds = ", ".join(
            text.format(f"{bound:,}")
            for text, bound in ((BOUNDS["minimum"], one.min), (BOUNDS["maximum"], one.max))
            if bound is not None
        )
        often = "as often as needed" if "items" in schema else ""
        default = REQUIRED if one.required else "" if one.default in (None, False, "") else f"`{one.default}`"
        rows.append([f"`{name}`", ", ".join(filter(None, [kind, bounds, often])), default, " ".join((one.help or "").split())])
    return _table(["argument", "value", "default", "meaning"], rows)


def _table(columns: list[str], rows: Iterable[list[str]]) -> list[str]:
    """Return a table's lines and a blank one; without rows, none."""
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}", *lines, ""] if lines else []


PAGES = {"configuration.md": write_configuration, "commands.md": write_commands}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, write in PAGES.items():
        (FOLDER / name).write_text(write(), encoding="utf-8")
