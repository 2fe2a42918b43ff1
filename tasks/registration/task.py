"""The registration stages: register a version, decide what becomes of it, put a champion in place by hand, write the pages."""

import logging
from typing import Literal

import numpy as np

from configs.schema import Config, RegistrationConfig
from tasks.handles import (
    Decision,
    Evaluation,
    GateRows,
    LedgerEntry,
    ModelVersion,
    PaddedReviews,
    ReviewProfile,
    Reviews,
    TrackedRun,
    TrainedModel,
)
from tasks.registration import by_hand
from tasks.registration.load_check import FreshProcess, compare_scores, score_afresh
from tasks.registration.manifest import hash_files, version_record
from tasks.registration.model_files import downloaded_model
from tasks.registration.packaging import check_logged, log_model
from tasks.registration.pages import log_card, publish_pages
from tasks.registration.promotion import Base
from tasks.registration.reference import log_reference
from tasks.registration.sealing import keep_sealed
from tasks.registration.training_texts import log_training_texts
from tasks.registration.versions import create_version
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
    gate_rows: GateRows,
    reference: ReviewProfile,
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
        check_logged(folder, model, padded)
        found = score_afresh(
            folder, texts, seconds=check.load_check_seconds, mebibytes=check.load_check_mebibytes, waiting=fresh
        )
    difference = compare_scores(expected, found.probabilities, check.load_check_tolerance)
    logger.info("a fresh process gives the same scores for %d texts (largest difference %.1e)", len(texts), difference)
    data = {"source": reviews.source_sha256, "reviews": reviews.sha256, "padded": padded.sha256}
    tags = {f"test.{name}": f"{figure.value:.6f}" for name, figure in evaluation.metrics.items()} | {
        "weights_sha256": model.sha256,
        "dataset.sha256": reviews.sha256,
        "dataset": reviews.dataset,
        "gate.sha256": gate_rows.sha256,
        "load_check.difference": f"{difference:.3g}",
        "load_check.load_seconds": f"{found.load_seconds:.3f}",
        "load_check.predict_seconds": f"{found.predict_seconds:.3f}",
        "load_check.peak_mebibytes": f"{found.peak_mebibytes:.0f}",
        **version_record(manifest, data),
        **log_training_texts(run, gate_rows),
        **log_reference(run, reference),
    }
    version = create_version(
        config.registered_model, run, model_id=model_id, model_uri=model_uri, weights_sha256=model.sha256, tags=tags
    )
    keep_sealed(version.name, config.evaluation.audit_fraction)
    # Here and not at the run's end, which a run that fails at the gate does not reach: its version may be promoted later.
    log_card(run, write_card(version, model, evaluation, padded, reviews, config))
    return version


@stage("decision")
def decide(name: str, version: str, reviews: Reviews, gate_rows: GateRows, config: Config, actor: str | None) -> Decision:
    """Have the gate compare a version with the champion, and carry out and enter what it says; see `decide_on`."""
    from tasks.registration.deciding import decide_on

    return decide_on(name, version, reviews=reviews, gate_rows=gate_rows, config=config, actor=actor)


@stage("proof")
def prove(name: str, version: str, bounds: RegistrationConfig) -> None:
    """Check a version's files, and have it score in a process of its own; see `prove_usable`."""
    by_hand.prove_usable(name, version, bounds)


@stage("promotion")
def put_in_place(name: str, version: str, base: Base, action: Literal["override", "rollback"], reason: str) -> LedgerEntry:
    """Make a version champion without asking the gate; see `by_hand.put_in_place`."""
    return by_hand.put_in_place(name, version, base, action, reason)


@stage("pages")
def publish(name: str, version: str, before: str | None) -> None:
    """Write the pages of a version and of the champion before it, and the registered model's card; see `publish_pages`."""
    publish_pages(name, version, before)


def record(result: RunResult, config: Config) -> None:
    """Write the report into the run.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    decision, version = result.decision, result.version
    tags = {"decision.outcome": decision.outcome, "registered_version": f"{version.name}/{version.version}"}
    texts = {"report.md": write_report(result, config)}
    log_outcome(result.run, texts=texts, description=headline(result), stages=result.stages, tags=tags)


def _sample_scores(
    evaluation: Evaluation, reviews: Reviews, count: int
) -> tuple[list[str], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    import pyarrow.parquet as pq

    predictions = pq.read_table(evaluation.file("predictions.parquet"))
    chosen = np.unique(np.linspace(0, len(predictions) - 1, count).astype(np.int64))
    rows = predictions["row"].to_numpy()[chosen]
    texts = pq.read_table(reviews.file("reviews.parquet"), columns=["text"])["text"].take(rows).to_pylist()
    return texts, predictions["probability"].to_numpy()[chosen].astype(np.float64)
