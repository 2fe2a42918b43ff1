"""The registration stages: register a version, decide what becomes of it, put a champion in place by hand, write the pages."""

import logging
from pathlib import Path
from typing import Literal

import numpy as np

from configs.schema import Config, RegistrationConfig
from tasks.errors import ModelMismatch
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
from tasks.progress import tell
from tasks.recording import log_outcome
from tasks.registration import by_hand
from tasks.registration.load_check import FreshProcess, compare_scores, score_afresh
from tasks.registration.manifest import hash_files, version_record
from tasks.registration.model_files import downloaded_model
from tasks.registration.packaging import check_logged, delete_logged_models, log_model
from tasks.registration.pages import log_card, publish_pages
from tasks.registration.promotion import Base
from tasks.registration.reference import log_reference
from tasks.registration.sealing import keep_sealed
from tasks.registration.training_texts import log_training_texts
from tasks.registration.versions import BASELINE_TAG, create_version, find_version_of, make_challenger
from tasks.report import RunResult, headline, write_card, write_report
from tasks.stage import stage
from tasks.tracking import settle

STEPS = 3
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

    A run that had registered its version when it was cut off registers no other. Nothing is registered before MLflow has all
    that the run has recorded so far.

    Raises:
        ModelMismatch: the logged model cannot be loaded, or scores otherwise than in training; or the version that the run
            has registered already has other weights.
        GateClosed: the ledger is damaged.
        RegistryError: MLflow could not be reached, or refused.
    """
    settle(run.run_id, config.tracking.wait_seconds)
    version = _find_registered(model, config, run) if run.resumed else None
    if version is None:
        version = _register_anew(model, evaluation, padded, reviews, gate_rows, reference, config, run, fresh)
    make_challenger(version)
    keep_sealed(version.name, config.evaluation.audit_fraction)
    # Here and not at the run's end, which a run that fails at the gate does not reach: its version may be promoted later.
    log_card(run, write_card(version, model, evaluation, padded, reviews, config))
    return version


def _find_registered(model: TrainedModel, config: Config, run: TrackedRun) -> ModelVersion | None:
    version = find_version_of(config.registered_model, run)
    if version is None:
        delete_logged_models(run)
    elif version.weights_sha256 != model.sha256:
        raise ModelMismatch(
            f"run {run.run_id} registered version {version.version} of {version.name} with the weights "
            f"{version.weights_sha256}, and now has {model.sha256}: `reprise train --force` begins anew"
        )
    return version


def _register_anew(
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
    tell("registration", 0, STEPS, "steps", "logging the model")
    model_id, model_uri = log_model(run, model, padded, threshold=config.evaluation.threshold, step=model.epochs_run)
    texts, expected = _sample_scores(evaluation, reviews, config.registration.load_check_rows)
    check = config.registration
    with downloaded_model(model_uri) as folder:
        manifest = hash_files(folder)
        check_logged(folder, model, padded)
        tell("registration", 1, STEPS, "steps", "scoring in a fresh process")
        found = score_afresh(
            folder, texts, seconds=check.load_check_seconds, mebibytes=check.load_check_mebibytes, waiting=fresh
        )
    tell("registration", 2, STEPS, "steps", "entering the version")
    difference = compare_scores(expected, found.probabilities, check.load_check_tolerance)
    logger.info("a fresh process gives the same scores for %d texts (largest difference %.1e)", len(texts), difference)
    data = {"source": reviews.source_sha256, "reviews": reviews.sha256, "padded": padded.sha256}
    tags = {f"test.{name}": f"{figure.value:.6f}" for name, figure in evaluation.metrics.items()} | {
        "weights_sha256": model.sha256,
        "dataset.sha256": reviews.sha256,
        "dataset": reviews.dataset,
        "gate.sha256": gate_rows.sha256,
        BASELINE_TAG: evaluation.baseline.model_dump_json(),
        "load_check.difference": f"{difference:.3g}",
        "load_check.load_seconds": f"{found.load_seconds:.3f}",
        "load_check.predict_seconds": f"{found.predict_seconds:.3f}",
        "load_check.peak_mebibytes": f"{found.peak_mebibytes:.0f}",
        **version_record(manifest, data),
        **log_training_texts(run, gate_rows),
        **log_reference(run, reference),
    }
    return create_version(
        config.registered_model, run, model_id=model_id, model_uri=model_uri, weights_sha256=model.sha256, tags=tags
    )


@stage("decision")
def decide(
    name: str,
    version: str,
    reviews: Reviews,
    gate_rows: GateRows,
    config: Config,
    actor: str | None,
    run: TrackedRun | None = None,
) -> Decision:
    """Have the gate compare a version with the champion, and carry out and enter what it says; see `decide_on`.

    Where `run` trained the version and was cut off after the decision, that stands.
    """
    from tasks.registration.deciding import decide_on

    kept = None if run is None else Path(run.folder) / "decision.json"
    return decide_on(name, version, reviews=reviews, gate_rows=gate_rows, config=config, actor=actor, kept=kept)


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
    """Write the report into the run, and wait until MLflow has all of it.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    decision, version = result.decision, result.version
    tags = {"decision.outcome": decision.outcome, "registered_version": f"{version.name}/{version.version}"}
    texts = {"report.md": write_report(result, config)}
    description = f"{headline(result)}\n\n**{decision.outcome}**: {decision.reason}"
    log_outcome(result.run, texts=texts, description=description, stages=result.stages, tags=tags)
    settle(result.run.run_id, config.tracking.wait_seconds)


def _sample_scores(
    evaluation: Evaluation, reviews: Reviews, count: int
) -> tuple[list[str], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    import pyarrow.parquet as pq

    predictions = pq.read_table(evaluation.file("predictions.parquet"))
    chosen = np.unique(np.linspace(0, len(predictions) - 1, count).astype(np.int64))
    rows = predictions["row"].to_numpy()[chosen]
    texts = pq.read_table(reviews.file("reviews.parquet"), columns=["text"])["text"].take(rows).to_pylist()
    return texts, predictions["probability"].to_numpy()[chosen].astype(np.float64)
