"""Reading a configuration: YAML, then overrides, then the schema."""

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from configs.bounded_yaml import MOST_BYTES, MOST_LEVELS, RefusedYaml, read_yaml
from configs.one_line import one_line, shown_value
from configs.schema import Config, Section
from tasks.errors import ConfigError

Tree = dict[str, Any]
Checked = TypeVar("Checked", bound=Section)


def preset_names(folder: str = "") -> list[str]:
    """Return the names of the shipped presets, or of those in a folder beside them, sorted."""
    entries = (resources.files("configs") / folder).iterdir()
    return sorted(Path(entry.name).stem for entry in entries if entry.name.endswith(".yaml"))


def read_config(name_or_file: str, folder: str = "") -> Tree:
    """Read a preset by its name, or a YAML file by its path, as an unchecked tree.

    Args:
        name_or_file: the one or the other.
        folder: where the presets lie, beside those of a training.

    Raises:
        ConfigError: there is no such preset or file, or it is not a YAML mapping.
    """
    names = preset_names(folder)
    if name_or_file in names:
        text = resources.files("configs").joinpath(folder, f"{name_or_file}.yaml").read_text(encoding="utf-8")
    else:
        try:
            text = _read_text(Path(name_or_file))
        except FileNotFoundError:
            raise ConfigError(
                f"no configuration {one_line(repr(name_or_file))}: give a YAML file or one of {', '.join(names)}"
            ) from None
        except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL in the path
            raise ConfigError(f"cannot read configuration {one_line(repr(name_or_file))}: {one_line(str(error))}") from None
    return parse_config(text, one_line(name_or_file))


def parse_config(text: str, origin: str) -> Tree:
    """Return a configuration's YAML as an unchecked tree.

    Raises:
        ConfigError: it is not a YAML mapping, or more than a configuration takes; see `read_yaml`.
    """
    try:
        tree = read_yaml(text)
    except RefusedYaml as refused:
        raise ConfigError(f"{origin}: {refused}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{origin}: a configuration is a mapping of sections, not {type(tree).__name__}")
    return tree


def override(tree: Tree, assignments: Iterable[str]) -> Tree:
    """Return the tree with each `section.key=value` applied, its value read as YAML.

    Raises:
        ConfigError: an assignment is not of that form, or runs through something that is no section.
    """
    result = tree
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        keys = path.strip().split(".")
        if not equals or not 2 <= len(keys) <= MOST_LEVELS or not all(keys):
            raise ConfigError(f"--set {shown_value(assignment)}: write section.key=value, as in training.epochs=3")
        try:
            result = with_value(result, keys, read_yaml(value))
        except (ConfigError, RefusedYaml) as error:
            raise ConfigError(f"--set {shown_value(assignment)}: {error}") from None
    return result


def with_value(tree: Tree, keys: Sequence[str], value: Any) -> Tree:
    """Return the tree with another value at a path; the sections that lead there are made.

    Raises:
        ConfigError: the path runs through something that is no section.
    """
    head, *rest = keys
    if not rest:
        return {**tree, head: value}
    below = tree.get(head)
    if below is not None and not isinstance(below, dict):
        raise ConfigError(f"{head} is a value, not a section")
    return {**tree, head: with_value(below or {}, rest, value)}


def check_config(tree: Mapping[str, Any], origin: str) -> Config:
    """Validate the tree of a training's configuration; as `check_section`."""
    return check_section(tree, origin, Config)


def check_section(tree: Mapping[str, Any], origin: str, schema: type[Checked]) -> Checked:
    """Validate a tree against a schema.

    Raises:
        ConfigError: one line that names the first wrong key by its path, and how many more are wrong.
    """
    try:
        return schema.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{one_line(origin)}: {first_fault(error)}") from None


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of a tree by dotted path; lists are leaves."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return leaves


def _read_text(path: Path) -> str:
    if path.exists() and not path.is_file():  # a pipe or a device may never end
        raise OSError("it is a folder" if path.is_dir() else "it is no plain file")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES:,} bytes, and no configuration has so many")
    return content.decode()


def first_fault(error: ValidationError) -> str:
    """Return the first wrong key by its path, what is wrong with it, and how many more are wrong."""
    faults = error.errors(include_url=False)
    fault = faults[0]
    path = one_line(".".join(str(part) for part in fault["loc"])) or "configuration"
    message = "unknown key" if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix("Value error, ")
    got = "" if fault["type"] in ("missing", "extra_forbidden", "value_error") else f" (got {shown_value(fault['input'])})"
    more = f"; and {len(faults) - 1} more" if len(faults) > 1 else ""
    return f"{path}: {one_line(message)}{got}{more}"
