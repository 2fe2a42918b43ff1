"""What has become of the reviews that a model would be trained on: trained, tried in vain, or waiting to be trained on."""

from datetime import UTC, datetime

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from pydantic import ValidationError

from configs.schema import Config
from tasks.tracking import find_training

RETRAINING = "retraining"
"""The name of the flow whose runs are the attempts."""
CRASHES = 3
"""How many attempts may crash: a crash says something of the machine, and a failure something of the reviews."""
ATTEMPTS_READ = 200


def reason_not_to_train(config: Config, content: str) -> str | None:
    """Return why reviews of this digest are not to be trained on unasked, in a sentence, or None.

    They are not where a training on them is finished or running, nor where `retraining` was started for them with the
    same configuration and failed, was cancelled, or crashed `CRASHES` times.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    run_id = find_training(config, content)
    if run_id is not None:
        return f"{config.registered_model} has these reviews ({content[:12]}) from MLflow run {run_id}."
    ended = _retrainings(StateType.FAILED, StateType.CANCELLED, StateType.CRASHED)
    attempts = [run for run in ended if run.parameters.get("content") == content and _config_of(run) == config]
    crashes = [run for run in attempts if run.state_type == StateType.CRASHED]
    if len(attempts) > len(crashes) or len(crashes) >= CRASHES:
        return (
            f"Training {config.registered_model} on these reviews ({content[:12]}) failed before, in flow run "
            f"'{attempts[0].name}': it is tried again once they or the configuration change, or by hand."
        )
    return None


def waiting_retraining(config: Config) -> str | None:
    """Return the name of a run that will retrain the configuration's model and has not begun, or None.

    The runs that a schedule has planned count from the moment that they are due.
    """
    due = [
        run
        for run in _retrainings(StateType.SCHEDULED, StateType.PENDING)
        if not (run.auto_scheduled and run.expected_start_time and run.expected_start_time > datetime.now(UTC))
    ]
    named = ((run.name, _config_of(run)) for run in due)
    return next((name for name, other in named if other and other.registered_model == config.registered_model), None)


def _retrainings(*states: StateType) -> list[FlowRun]:
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[RETRAINING])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states)))),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=ATTEMPTS_READ,
        )


def _config_of(run: FlowRun) -> Config | None:
    try:
        return Config.model_validate(run.parameters.get("config"))
    except ValidationError:  # of an older version of the schema
        return None
