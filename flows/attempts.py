"""What has become of the reviews that a model would be trained on: trained, tried in vain, or waiting to be trained on."""

from datetime import UTC, datetime, timedelta

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
PENDING_SECONDS = 300
"""How long a process may take from taking a run to running it."""


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
    ended = _retrainings(config, StateType.FAILED, StateType.CANCELLED, StateType.CRASHED)
    # One that was cancelled before it began, as CANCEL_NEW does, has tried nothing.
    begun = [run for run in ended if run.run_count > 0]
    attempts = [run for run in begun if run.parameters.get("content") == content and _config_of(run) == config]
    crashes = [run for run in attempts if run.state_type == StateType.CRASHED]
    if len(attempts) > len(crashes) or len(crashes) >= CRASHES:
        return (
            f"Training {config.registered_model} on these reviews ({content[:12]}) failed before, in flow run "
            f"'{attempts[0].name}': it is tried again once they or the configuration change, or by hand."
        )
    return None


def waiting_retraining(config: Config) -> str | None:
    """Return the name of a run that will retrain the configuration's model and has not begun, or None.

    A planned run counts from the moment that it is due. One that has been about to begin for `PENDING_SECONDS` has lost the
    process that was to run it, and counts no more.
    """
    now = datetime.now(UTC)
    waiting = _retrainings(config, StateType.SCHEDULED)
    due = [run.name for run in waiting if run.expected_start_time is None or run.expected_start_time <= now]
    beginning = _retrainings(config, StateType.PENDING)
    alive = [run.name for run in beginning if run.state and now - run.state.timestamp < timedelta(seconds=PENDING_SECONDS)]
    return next(iter(due + alive), None)


def _retrainings(config: Config, *states: StateType) -> list[FlowRun]:
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[RETRAINING])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states)))),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=ATTEMPTS_READ,
        )
    model = config.registered_model
    return [run for run in found if (other := _config_of(run)) is not None and other.registered_model == model]


def _config_of(run: FlowRun) -> Config | None:
    try:
        return Config.model_validate(run.parameters.get("config"))
    except ValidationError:  # of an older version of the schema
        return None
