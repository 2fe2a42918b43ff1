"""The retraining flow: the training, unless there is nothing new to train on."""

from prefect import State, flow
from prefect.states import Completed

from configs.schema import Config
from flows.attempts import RETRAINING, reason_not_to_train
from flows.exclusive import only_training
from flows.publishing import name_retraining_run
from flows.recovery import recover_killed_runs
from flows.training import training
from tasks.ingestion.source import source_digest
from tasks.report import headline


@flow(name=RETRAINING, flow_run_name=name_retraining_run)
def retraining(config: Config, only_new: bool = False, content: str | None = None) -> State[None]:
    """Train as the configuration says, and end with the outcome as the run's message.

    Args:
        config: All that the training depends on.
        only_new: Train on no reviews that the model has been trained on, or on which that failed: end as "Nothing new".
        content: The digest of the reviews that this run is started for. It is not tried again unasked if the run fails.
    """
    recover_killed_runs()
    with only_training(config.registered_model):  # looked at within it: the training that it waits for may be of these reviews
        present = source_digest(config.data)
        reason = reason_not_to_train(config, present) if only_new else None
        if reason is not None:
            return Completed(name="Nothing new", message=reason)
        # The function and not the flow: one run, which is the one that Prefect watches over. It is tagged from its first
        # moment on, so that nobody starts another for the same reviews meanwhile.
        result = training.fn(config, tags={"dataset.source_sha256": present})
    return Completed(message=headline(result))
