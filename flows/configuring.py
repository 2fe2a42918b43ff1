"""From a command's arguments to the configuration that they stand for."""

from typing import TYPE_CHECKING

from tasks.errors import ConfigError

if TYPE_CHECKING:
    from configs.schema import Config, DataConfig


def resolve_config(name: str | None, data: str | None, assignments: list[str]) -> "tuple[Config, str]":
    """Return the configuration that arguments stand for, and the sentence that says which data it trains on.

    Raises:
        ConfigError: a key, type or value is wrong.
        DataError: `data` names nothing that can be read.
    """
    from pydantic import ValidationError

    from configs.loading import check_config, first_fault, override, read_config
    from tasks.ingestion.download import imdb_available
    from tasks.ingestion.source import data_from_path

    if data is not None:
        tree = read_config(name or "imdb")
        try:
            source = data_from_path(data).model_dump(exclude_unset=True)
        except ValidationError as error:
            raise ConfigError(f"--data: {first_fault(error)}") from None
        places = ("source", "path", "test_path", "word_index")
        given = tree.get("data") or {}
        if not isinstance(given, dict):
            raise ConfigError(f"configuration {name}: data is a value, not a section")
        kept = {key: value for key, value in given.items() if key not in places}
        tree = {**tree, "data": {**kept, **source}}
    elif name is not None:
        tree = read_config(name)
    else:
        tree = read_config("imdb" if imdb_available() else "sample")
    config = check_config(override(tree, assignments), f"configuration {name or 'imdb'}")
    return config, _describe_data(config.data, asked=name is not None or data is not None)


def resolve_unfinished(name: str | None, data: str | None, assignments: list[str]) -> "tuple[Config, str]":
    """Return what `resolve_config` does, of a training that was cut off: of the last one where no argument says which.

    Raises:
        InputError: there is none, or what it depends on has changed.
        ConfigError: a key, type or value is wrong.
        DataError: `data` names nothing that can be read, or the training's source is missing.
        DownloadError: the source's host did not answer.
    """
    from tasks.unfinished import require_unfinished

    if name is None and data is None and not assignments:
        config = require_unfinished(None)
        return config, _describe_data(config.data, asked=True)
    config, note = resolve_config(name, data, assignments)
    return require_unfinished(config), note


def _describe_data(data: "DataConfig", *, asked: bool) -> str:
    if data.source == "imdb":
        return "Data: the official IMDB reviews."
    if data.source != "sample":
        return f"Data: {data.path}."
    if asked:
        return "Data: the generated sample."
    return (
        "Data: the generated sample, since IMDB can neither be downloaded nor found in the cache; "
        "for real reviews: reprise train --data PATH"
    )
