"""YAML that anyone may have written: plain values alone, each key once, and no more of them than a configuration has.

Numbers and switches are a part of those that PyYAML reads: no octal 010, no sexagesimal 1:30, no `yes` and `no`. These stay
words, which a key of another type refuses, and what PyYAML writes reads back as it was.
"""

import re
from typing import Any

import yaml

from configs.one_line import one_line

MOST_BYTES = 250_000
MOST_VALUES = 20_000
MOST_LEVELS = 20
MERGE, STRING = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:str"
PLAIN = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(?:0|[1-9][0-9]{0,17})", list("-+0123456789")),
    "float": (
        r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?|\.[0-9]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    "merge": ("<<", ["<"]),
}


class RefusedYaml(ValueError):
    """The text is no YAML, or more than a configuration takes; the message is one line that names the key or the place."""


def read_yaml(text: str) -> Any:
    """Return what a YAML document says: None, bool, int, float, str, and lists and mappings of them.

    Time and memory are bounded, whatever the text is.

    Raises:
        RefusedYaml: it is no YAML, is too large or too deep, has a tag, or a key twice, or one that is no word.
    """
    if len(text) > MOST_BYTES:
        raise RefusedYaml(f"{len(text):,} characters, and a configuration has at most {MOST_BYTES:,}")
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
        raise RefusedYaml(f"not valid YAML{where}: {one_line(problem)}") from None


class _Loader(yaml.SafeLoader):
    """Counts each value as often as aliases repeat it, before any is made: that is how an anchors bomb grows."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (the base class's, emptied)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._path: list[str] = []
        self._values = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a value of a mapping, whose key is `index`, of a list, whose number it is, or a key, or the document."""
        named = index is not None
        if named:
            self._path.append(str(index.value if isinstance(index, yaml.Node) else index))
        if len(self._path) > MOST_LEVELS:
            raise self._refusal(f"deeper than {MOST_LEVELS} levels")
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(parent, yaml.MappingNode) and not named and not isinstance(event, yaml.ScalarEvent):
            raise self._refusal("a key is a word, not a collection or an alias")
        if getattr(event, "tag", None) is not None:
            raise self._refusal(f"the tag {event.tag}; a configuration has plain values")
        before = self._values
        node = super().compose_node(parent, index)
        if not isinstance(event, yaml.AliasEvent):
            self._values += 1
            self._sizes[id(node)] = self._values - before
        elif id(node) not in self._sizes:
            raise self._refusal("an alias for what it stands in")
        else:
            self._values += self._sizes[id(node)]
        if self._values > MOST_VALUES:
            raise self._refusal(f"more than {MOST_VALUES:,} values, counting what aliases repeat")
        if named:
            self._path.pop()
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping whose keys are words, each there once."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key in [key for key, _ in node.value if key.tag != MERGE]:
            if key.tag != STRING:
                raise self._refusal(f"a key is a word, not {key.value or 'nothing'}")
            if key.value in seen:
                self._path.append(key.value)
                raise self._refusal("given twice")
            seen.add(key.value)
        return node

    def _refusal(self, reason: str) -> RefusedYaml:
        path = one_line(".".join(self._path)) or "configuration"
        return RefusedYaml(f"{path}: {one_line(reason)} (near line {self.line + 1})")


for _kind, (_pattern, _first) in PLAIN.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"^(?:{_pattern})$"), _first)
