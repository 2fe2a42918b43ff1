"""The seed noise flow: the same training with several seeds, and how far their accuracies lie apart."""

from prefect import flow

from configs.schema import Config
from flows.recovery import prefect_tags, recover_killed_runs
from tasks.evaluation.task import choose_gate_rows, evaluate, fit_baseline
from tasks.handles import Baseline, GateRows, PaddedReviews, Reviews, SeedNoise
from tasks.ingestion.task import ingest
from tasks.padding.task import pad_reviews
from tasks.progress import tell, working
from tasks.recording import log_evaluation, log_training
from tasks.registration.noise import record_noise, spread_of_difference
from tasks.registration.sealing import keep_sealed, refuse_opening
from tasks.stage import recorded_stages
from tasks.tracking import training_run
from tasks.training.task import train
from tasks.validation.task import validate_padded, validate_reviews
from tasks.validation.verdict import require_passed


@flow(name="seed noise", flow_run_name="seed noise")
def seed_noise(config: Config, seeds: int) -> SeedNoise:
    """Train with `seeds` seeds, from the configuration's on, and keep the spread of accuracy with the registered model.

    Each training is an MLflow run; none is registered.

    Args:
        config: all that the trainings have in common.
        seeds: their number, 3 or more, for a spread that means something.
    """
    recover_killed_runs()
    refuse_opening(config.registered_model, config.evaluation.audit_fraction)
    with recorded_stages():
        reviews = ingest(config.data)
        validation = validate_reviews(reviews, config.validation)
        require_passed(validation)
        padded = pad_reviews(reviews, validation, config.padding)
        require_passed(validate_padded(padded))
        gate_rows = choose_gate_rows(reviews, validation, config.evaluation.audit_fraction)
        baseline = fit_baseline(reviews, gate_rows)
        first = config.training.seed
        accuracies = []
        with working("seeds", seeds, "trainings"):
            for seed in range(first, first + seeds):
                accuracies.append(train_with_seed(seed, config, reviews, padded, gate_rows, baseline))
                tell("seeds", len(accuracies), seeds, "trainings", f"accuracy {accuracies[-1]:.2%}")
    noise = SeedNoise(
        accuracies=tuple(accuracies),
        spread=spread_of_difference(tuple(accuracies)),
        gate_sha256=gate_rows.sha256,
        config_sha256=config.digest(),
    )
    record_noise(config.registered_model, noise)
    keep_sealed(config.registered_model, config.evaluation.audit_fraction)
    return noise


def train_with_seed(
    seed: int, config: Config, reviews: Reviews, padded: PaddedReviews, gate_rows: GateRows, baseline: Baseline
) -> float:
    """Train with a seed in an MLflow run of its own, and return the accuracy on the gate rows."""
    seeded = config.model_copy(update={"training": config.training.model_copy(update={"seed": seed})})
    tags = {**prefect_tags(), "seed_noise.of": config.registered_model}
    with training_run(seeded, name=f"{config.registered_model} seed noise, seed {seed}", tags=tags) as run:
        model = train(padded, seeded.padding, seeded.model, seeded.training, run)
        log_training(run, model)
        evaluation = evaluate(model, padded, reviews, gate_rows, baseline, seeded.evaluation, run)
        log_evaluation(run, evaluation, step=model.epochs_run)
    return evaluation.metrics["accuracy"].value
