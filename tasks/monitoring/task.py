"""The stages of the room: a training's reference, new reviews as the champion sees them, and the comparison of both."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from configs.monitoring import MonitoringConfig
from configs.schema import DataConfig
from tasks.handles import Drift, Evaluation, GateRows, NewReviews, PaddedReviews, ReviewProfile, StageRecord, TrackedRun
from tasks.recording import log_drift, log_outcome
from tasks.stage import stage
from tasks.workspace import published, sha256_of_file

PROFILE, NEW_REVIEWS, WORDS, FIGURES = "profile.parquet", "new_reviews.parquet", "words.json", "figures"


@stage("reference")
def keep_reference(
    padded: PaddedReviews, evaluation: Evaluation, gate_rows: GateRows, threshold: float, run: TrackedRun
) -> ReviewProfile:
    """Write what later reviews are compared with into the run's folder; see `profile_gate_rows`."""
    from tasks.monitoring.profile import write_profile
    from tasks.monitoring.reference import profile_gate_rows

    profile = profile_gate_rows(padded, evaluation, gate_rows, threshold)
    folder = Path(run.folder) / "reference"
    with published(folder) as draft:
        write_profile(profile, draft / PROFILE)
    return ReviewProfile(path=str(folder), sha256=sha256_of_file(folder / PROFILE), rows=profile.rows)


@stage("stored reference")
def fetch_reference(model: str, version: str, run: TrackedRun) -> ReviewProfile:
    """Copy the reference that a version keeps into the run's folder.

    Raises:
        ModelMismatch: the version has none, or it is gone or changed.
        RegistryError: MLflow could not be reached, or refused.
    """
    from tasks.monitoring.profile import read_profile
    from tasks.registration.reference import verified_reference
    from tasks.registration.versions import find_version

    folder = Path(run.folder) / "reference"
    with published(folder) as draft, verified_reference(find_version(model, version)) as file:
        shutil.copy(file, draft / PROFILE)
    return ReviewProfile(path=str(folder), sha256=sha256_of_file(folder / PROFILE), rows=read_profile(folder / PROFILE).rows)


@stage("new reviews")
def gather(data: DataConfig, max_rows: int, run: TrackedRun) -> NewReviews:
    """Read new reviews into the run's folder; see `read_new_reviews`."""
    import pyarrow.parquet as pq

    from tasks.ingestion.source import describe_source
    from tasks.monitoring.new_reviews import read_new_reviews

    found = read_new_reviews(data, max_rows)
    folder = Path(run.folder) / "new_reviews"
    with published(folder) as draft:
        pq.write_table(found.table, draft / NEW_REVIEWS)
    return NewReviews(
        path=str(folder),
        sha256=sha256_of_file(folder / NEW_REVIEWS),
        source=describe_source(data),
        available=found.available,
        rows=len(found.table),
        labelled=found.labelled,
    )


@stage("observation")
def observe(model: str, version: str, reviews: NewReviews, run: TrackedRun) -> ReviewProfile:
    """Read and score new reviews as a version does, and write their profile and the version's words into the run's folder.

    Raises:
        ModelMismatch: the version's files are not those that were registered, or gone, or the model fails at a review.
        RegistryError: MLflow could not be reached, or refused.
    """
    import pyarrow.parquet as pq

    from tasks.monitoring.profile import make_profile, write_profile
    from tasks.registration.observing import observe_texts
    from tasks.text_digests import digest_texts

    table = pq.read_table(reviews.file(NEW_REVIEWS)).combine_chunks()
    texts = table["text"].combine_chunks()
    observed = observe_texts(model, version, texts.to_pylist())
    labels = table["label"].to_numpy() if reviews.labelled else None
    figures = (observed.ids, observed.words, observed.probabilities, observed.predicted, labels)
    profile = make_profile(digest_texts(texts), *figures, observed.encoder.vocabulary_size)
    folder = Path(run.folder) / "observation"
    with published(folder) as draft:
        write_profile(profile, draft / PROFILE)
        (draft / WORDS).write_text(json.dumps(observed.encoder.words), encoding="utf-8")
    return ReviewProfile(path=str(folder), sha256=sha256_of_file(folder / PROFILE), rows=profile.rows)


@stage("comparison")
def compare(
    model: str,
    version: str,
    reference: ReviewProfile,
    observation: ReviewProfile,
    monitoring: MonitoringConfig,
    run: TrackedRun,
) -> Drift:
    """Compare new reviews with a version's reference, and draw both into `figures` of the run's folder."""
    from tasks.evaluation.figures import save_figures
    from tasks.monitoring.comparison import compare_profiles
    from tasks.monitoring.figures import draw_figures
    from tasks.monitoring.profile import read_profile

    old, new = (read_profile(profile.file(PROFILE)) for profile in (reference, observation))
    drift = compare_profiles(model, version, old, new, monitoring)
    if drift.signals:
        words = json.loads(observation.file(WORDS).read_text(encoding="utf-8"))
        save_figures(draw_figures(old, new, words), Path(run.folder) / FIGURES)
    return drift


def record(drift: Drift, reviews: NewReviews, report: str, stages: Sequence[StageRecord], run: TrackedRun) -> None:
    """Write a comparison into its run.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    log_drift(run, drift, Path(run.folder) / FIGURES)
    tags = {
        "drift.outcome": drift.outcome,
        "monitoring.of": f"{drift.model}/{drift.version}",
        "dataset.source": reviews.source,
        "dataset.sha256": reviews.sha256,
    }
    log_outcome(run, texts={"report.md": report}, description=drift.sentence, stages=stages, tags=tags)
