"""The watching flow: looks whether there are reviews that the model was not trained on, and says so by an event."""

import logging

from prefect import State, flow
from prefect.states import Completed

from configs.schema import Config
from flows.attempts import reason_not_to_train, waiting_retraining
from flows.events import DATA_CHANGED, emit_model_event
from flows.publishing import name_watching_run
from tasks.errors import DataError, DownloadError
from tasks.ingestion.settling import settled_digest
from tasks.ingestion.source import describe_source, source_digest
from tasks.ingestion.task import ingest

logger = logging.getLogger("reprise.watching")


@flow(name="watching", flow_run_name=name_watching_run)
def watching(config: Config, settle_seconds: float = 10.0) -> State[None]:
    """Look at a configuration's reviews once, and end with what was seen and done as the run's name and message.

    It remembers nothing: what is new follows from the reviews as they are, MLflow's runs and Prefect's. So it is run again
    and again, and what one look misses the next one sees.

    Args:
        config: Of the training that the reviews are for.
        settle_seconds: How long they must stay the same before they count.
    """
    model, place = config.registered_model, describe_source(config.data)
    try:
        reason = reason_not_to_train(config, source_digest(config.data))
        if reason is not None:
            return _ended("Nothing new", reason)
        content = settled_digest(config.data, settle_seconds)
        # Read here, a half-written file costs no training, and what was read is not read again by one.
        if content is None or ingest(config.data).source_sha256 != content:
            return _ended("Still changing", f"{place} is being written to; the next look will see.")
    except (DataError, DownloadError) as error:
        return _ended("Unreadable", f"No training on {place} for now: {error}")
    reason = reason_not_to_train(config, content)
    if reason is not None:
        return _ended("Nothing new", reason)
    waiting = waiting_retraining(config)
    if waiting is not None:
        return _ended(
            "Waiting", f"{place} has new reviews ({content[:12]}), and flow run '{waiting}' is about to train on them."
        )
    emit_model_event(DATA_CHANGED, model, {"sha256": content, "source": place})
    return _ended("Data changed", f"{place} has reviews ({content[:12]}) that {model} was not trained on: {DATA_CHANGED}.")


def _ended(name: str, message: str) -> State[None]:
    logger.info("%s: %s", name, message)
    return Completed(name=name, message=message)
