"""The registration stages: register a version, then decide what becomes of it."""

import logging

import numpy as np

from configs.schema import Config
from tasks.handles import Decision, Evaluation, ModelVersion, PaddedReviews, Reviews, TrackedRun, TrainedModel
from tasks.registration.decision import decide_alias
from tasks.registration.load_check import FreshProcess, compare_scores, score_afresh
from tasks.registration.manifest import hash_files, version_record
from tasks.registration.model_files import downloaded_model
from tasks.registration.packaging import log_model
from tasks.registration.versions import (
    CHAMPION,
    create_version,
    crown,
    describe_model,
    read_aliases,
    record_decision,
)
from tasks.report import RunResult, headline, write_card, write_report
from tasks.stage import stage
from tasks.tracking import log_outcome

logger = logging.getLogger("reprise.registration")


@stage("registration")
def register(
    model: TrainedModel,
    evaluation: Evaluation,
    padded: PaddedReviews,
    reviews: Reviews,
    config: Config,
    run: TrackedRun,
    fresh: FreshProcess,
) -> ModelVersion:
    """Log the model, prove in a fresh process that it gives the training's scores, and register it as challenger.

    Raises:
        ModelMismatch: the logged model cannot be loaded, or scores otherwise than in training.
        RegistryError: MLflow could not be reached, or refused.
    """
    model_id, model_uri = log_model(run, model, padded, threshold=config.evaluation.threshold, step=model.epochs_run)
    texts, expected = _sample_scores(evaluation, reviews, config.registration.load_check_rows)
    check = config.registration
    with downloaded_model(model_uri) as folder:
        manifest = hash_files(folder)
        found = score_afresh(
            folder, texts, seconds=check.load_check_seconds, mebibytes=check.load_check_mebibytes, waiting=fresh
        )
    difference = compare_scores(expected, found.probabilities, check.load_check_tolerance)
    logger.info("a fresh process gives the same scores for %d texts (largest difference %.1e)", len(texts), difference)
    tags = {f"test.{name}": f"{figure.value:.6f}" for name, figure in evaluation.metrics.items()} | {
        "weights_sha256": model.sha256,
        "dataset.sha256": reviews.sha256,
        "dataset": reviews.dataset,
        "load_check.difference": f"{difference:.3g}",
        "load_check.load_seconds": f"{found.load_seconds:.3f}",
        "load_check.predict_seconds": f"{found.predict_seconds:.3f}",
        "load_check.peak_mebibytes": f"{found.peak_mebibytes:.0f}",
        **version_record(manifest, {"source": reviews.source_sha256, "reviews": reviews.sha256, "padded": padded.sha256}),
    }
    accuracy = evaluation.metrics["accuracy"]
    interval = f"{evaluation.confidence:.0%} interval {accuracy.low:.2%} to {accuracy.high:.2%}"
    description = (
        f"Test accuracy **{accuracy.value:.2%}** ({interval}) on {evaluation.rows:,} reviews of `{reviews.dataset}`, "
        f"after {model.epochs_run} epochs with seed {config.training.seed}."
    )
    return create_version(
        config.registered_model,
        run,
        model_id=model_id,
        model_uri=model_uri,
        weights_sha256=model.sha256,
        tags=tags,
        description=description,
    )


@stage("decision")
def decide(version: ModelVersion, evaluation: Evaluation, config: Config) -> Decision:
    """Decide what becomes of a registered version, and move the alias if it is to be champion.

    Raises:
        RegistryError: MLflow could not be reached, or refused; the champion is then what it was.
    """
    champion = read_aliases(version.name).get(CHAMPION)
    decision = decide_alias(evaluation.metrics, config.registration.floors, version=version.version, champion=champion)
    if decision.alias == CHAMPION:
        crown(version)
    return decision


def record(result: RunResult, config: Config) -> None:
    """Write the decision into the version, the report into the run, and the card into the registered model.

    The card is left alone where it speaks of a champion that another run made.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    decision, version = result.decision, result.version
    record_decision(version, decision)
    if decision.champion in (None, version.version):
        describe_model(version.name, write_card(result, config))
    tags = {"decision.outcome": decision.outcome, "registered_version": f"{version.name}/{version.version}"}
    log_outcome(result.run, report=write_report(result, config), description=headline(result), stages=result.stages, tags=tags)


def _sample_scores(
    evaluation: Evaluation, reviews: Reviews, count: int
) -> tuple[list[str], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    import pyarrow.parquet as pq

    predictions = pq.read_table(evaluation.file("predictions.parquet"))
    chosen = np.unique(np.linspace(0, len(predictions) - 1, count).astype(np.int64))
    rows = predictions["row"].to_numpy()[chosen]
    texts = pq.read_table(reviews.file("reviews.parquet"), columns=["text"])["text"].take(rows).to_pylist()
    return texts, predictions["probability"].to_numpy()[chosen].astype(np.float64)
