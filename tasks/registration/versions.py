"""Registered models, their versions and aliases."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode

from tasks.errors import GateClosed, InputError
from tasks.handles import Decision, ModelVersion, TrackedRun
from tasks.mlflow_store import connect, every_page, reaching_mlflow
from tasks.registration.ledger import champion_of, ensure_ledger, find_gate_entry, find_model, list_ledgers, read_ledger

CHAMPION, CHALLENGER = "champion", "challenger"
DECISION_TAG, BASELINE_TAG = "decision", "baseline"


class VersionSummary(NamedTuple):
    """A version as a list shows it. `accuracy` is the test accuracy it was registered with."""

    name: str
    version: str
    aliases: tuple[str, ...]
    accuracy: float | None
    outcome: str | None
    created: datetime
    run_id: str


class VersionDetails(NamedTuple):
    """A version whole: what a list shows, its tags and description, and the URI that it was registered from."""

    summary: VersionSummary
    tags: dict[str, str]
    description: str
    source: str


def read_aliases(name: str) -> dict[str, str]:
    """Return alias -> version of a registered model; empty where there is no such model yet.

    Raises:
        RegistryError: MLflow could not be reached, or refused: never taken for an empty registry.
    """
    client = connect()
    with reaching_mlflow():
        model = find_model(client, name)
    return {alias: str(version) for alias, version in model.aliases.items()} if model else {}


def read_model_tags(name: str) -> dict[str, str]:
    """Return the tags of a registered model; none where there is no such model yet.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    with reaching_mlflow():
        model = find_model(client, name)
    return dict(model.tags) if model else {}


def create_version(
    name: str, run: TrackedRun, *, model_id: str, model_uri: str, weights_sha256: str, tags: Mapping[str, str]
) -> ModelVersion:
    """Register a logged model as the next version of `name`, its run's only one.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    ensure_ledger(name)
    client = connect()
    with reaching_mlflow():
        created = client.create_model_version(name, source=model_uri, run_id=run.run_id, tags=dict(tags), model_id=model_id)
        # MLflow's client asks again where an answer was lost, and the server has then made one for each time.
        for other in _versions_of(name, run):
            if other.version != created.version:
                client.delete_model_version(name, other.version)
    return _model_version(name, str(created.version), run, weights_sha256)


def find_version_of(name: str, run: TrackedRun) -> ModelVersion | None:
    """Return the version that a run has registered already, or None.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    with reaching_mlflow():
        found = _versions_of(name, run)
    if not found:
        return None
    first = min(found, key=lambda one: int(one.version))
    return _model_version(name, str(first.version), run, first.tags.get("weights_sha256", ""))


def _versions_of(name: str, run: TrackedRun) -> list[Any]:
    return [one for one in every_page(connect().search_model_versions, f"run_id='{run.run_id}'") if one.name == name]


def make_challenger(version: ModelVersion) -> None:
    """Give a version the alias `challenger`, unless the gate has decided on it.

    Raises:
        GateClosed: the ledger is damaged.
        RegistryError: MLflow could not be reached, or refused.
    """
    if find_gate_entry(read_ledger(version.name), version.version) is None:
        client = connect()
        with reaching_mlflow():
            client.set_registered_model_alias(version.name, CHALLENGER, version.version)


def _model_version(name: str, version: str, run: TrackedRun, weights_sha256: str) -> ModelVersion:
    return ModelVersion(
        name=name, version=version, run_id=run.run_id, model_uri=f"models:/{name}/{version}", weights_sha256=weights_sha256
    )


def record_decision(name: str, version: str, decision: Decision) -> None:
    """Keep a decision whole in a version's tags; the ledger has it too, in short and for good.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    tags = {"decision.outcome": decision.outcome, "decision.reason": decision.reason, DECISION_TAG: decision.model_dump_json()}
    with reaching_mlflow():
        for key, value in tags.items():
            client.set_model_version_tag(name, version, key, value)


def describe_version(name: str, version: str, page: str) -> None:
    """Make a page a version's description.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    with reaching_mlflow():
        client.update_model_version(name, version, description=page)


def describe_model(name: str, card: str) -> None:
    """Make a model card the registered model's description.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    with reaching_mlflow():
        client.update_registered_model(name, description=card)


def list_versions() -> list[VersionSummary]:
    """Return all versions of all registered models, newest first within a model.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    with reaching_mlflow():
        names = [model.name for model in every_page(client.search_registered_models)]
        aliases = {name: client.get_registered_model(name).aliases for name in names}
        versions = [
            _summarize(version, aliases[name])
            for name in sorted(names)
            for version in every_page(client.search_model_versions, f"name='{name}'")
        ]
    return sorted(versions, key=lambda version: (version.name, -int(version.version)))


def list_models() -> list[str]:
    """Return the names of all registered models, with or without a version, and of those that left a ledger and are gone.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    with reaching_mlflow():
        registered = [model.name for model in every_page(client.search_registered_models)]
    return sorted({*registered, *list_ledgers()})


def find_version(name: str, version_or_alias: str) -> VersionDetails:
    """Return one version of a registered model, by number or by alias.

    Raises:
        InputError: there is no such model, version or alias.
        GateClosed: it is the champion that is asked for, whose version or alias is gone, or whose ledger is damaged.
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    missing = {ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), ErrorCode.Name(INVALID_PARAMETER_VALUE)}
    with reaching_mlflow():
        try:
            if version_or_alias.isdecimal():
                found = client.get_model_version(name, version_or_alias)
            else:
                found = client.get_model_version_by_alias(name, version_or_alias)
        except MlflowException as error:
            if error.error_code in missing:
                if version_or_alias == CHAMPION:
                    _refuse_lost_champion(name)
                raise InputError(
                    f"no version or alias {version_or_alias!r} of {name!r}: `reprise models` lists what there is"
                ) from None
            raise
        aliases = client.get_registered_model(name).aliases
        return VersionDetails(_summarize(found, aliases), dict(found.tags), found.description or "", found.source or "")


def _refuse_lost_champion(name: str) -> None:
    champion = champion_of(read_ledger(name))
    if champion is not None:
        raise GateClosed(
            f"the champion of {name!r}, by its ledger version {champion}, is gone from MLflow, or its alias is: "
            f"`reprise verify --model {name}` tells which, and what mends it"
        )


def choose_model(name: str | None) -> str:
    """Return the registered model of that name or, where none is given, the only one there is.

    Raises:
        InputError: there is no such model, none at all, or several to choose from.
        RegistryError: MLflow could not be reached, or refused.
    """
    names = list_models()
    if name is not None:
        if name not in names:
            raise InputError(f"no registered model {name!r}: there is {', '.join(names) or 'none yet'}")
        return name
    if not names:
        raise InputError("no registered model yet: reprise train makes one")
    if len(names) > 1:
        raise InputError(f"there are several models ({', '.join(names)}): choose one with --model")
    return names[0]


def _summarize(version: Any, aliases: Mapping[str, object]) -> VersionSummary:
    accuracy = version.tags.get("test.accuracy")
    return VersionSummary(
        name=version.name,
        version=str(version.version),
        aliases=tuple(sorted(alias for alias, number in aliases.items() if str(number) == str(version.version))),
        accuracy=float(accuracy) if accuracy else None,
        outcome=version.tags.get("decision.outcome"),
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        run_id=version.run_id,
    )
