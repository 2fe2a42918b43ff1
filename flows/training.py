"""The training flow: ingest -> validate -> pad -> train -> evaluate -> register -> decide."""

from collections.abc import Mapping

from prefect import flow
from prefect.runtime import flow_run

from configs.schema import Config
from flows.exclusive import only_training
from flows.publishing import emit_decision, name_training_run, publish_result
from flows.recovery import prefect_tags, recover_killed_runs
from tasks.evaluation.task import choose_gate_rows, evaluate, fit_baseline
from tasks.ingestion.task import ingest
from tasks.monitoring.task import keep_reference
from tasks.padding.task import pad_reviews
from tasks.recording import log_datasets, log_evaluation, log_padding, log_training, log_validation
from tasks.registration.load_check import FreshProcess
from tasks.registration.sealing import refuse_opening
from tasks.registration.task import decide, publish, record, register
from tasks.report import RunResult
from tasks.resumption import resumable_run
from tasks.stage import recorded_stages
from tasks.tracking import REGISTERED_MODEL
from tasks.training.task import train
from tasks.unfinished import keep_source
from tasks.validation.task import validate_padded, validate_reviews
from tasks.validation.verdict import require_passed


@flow(name="training", flow_run_name=name_training_run)
def training(config: Config, tags: Mapping[str, str] | None = None, force: bool = False, resume: bool = False) -> RunResult:
    """Train, evaluate and register one model, and make it champion if the gate lets it.

    A training that was cut off is gone on with where this one would be the same.

    Args:
        config: All that the run depends on.
        tags: Further tags of the MLflow run.
        force: Begin anew, and run every stage, also those whose result is there.
        resume: Go on with a training that was cut off, or not at all.
    """
    refuse_opening(config.registered_model, config.evaluation.audit_fraction)
    run_tags = {**prefect_tags(), REGISTERED_MODEL: config.registered_model, **(tags or {})}
    with only_training(config.registered_model):
        recover_killed_runs()
        with (
            FreshProcess() as fresh,
            recorded_stages(force=force) as stages,
            resumable_run(config, name=flow_run.name, tags=run_tags, force=force, resume=resume) as run,
        ):
            reviews = ingest(config.data)
            keep_source(run, reviews)

            validation = validate_reviews(reviews, config.validation)
            log_datasets(run, reviews, validation)
            log_validation(run, validation, "reviews")
            require_passed(validation)

            padded = pad_reviews(reviews, validation, config.padding)
            padded_validation = validate_padded(padded)
            log_validation(run, padded_validation, "padded")
            require_passed(padded_validation)
            log_padding(run, padded)

            gate_rows = choose_gate_rows(reviews, validation, config.evaluation.audit_fraction)
            baseline = fit_baseline(reviews, gate_rows)
            model = train(padded, config.padding, config.model, config.training, run)
            log_training(run, model)

            evaluation = evaluate(model, padded, reviews, gate_rows, baseline, config.evaluation, run)
            log_evaluation(run, evaluation, step=model.epochs_run)

            reference = keep_reference(padded, evaluation, gate_rows, config.evaluation.threshold, run)
            version = register(model, evaluation, padded, reviews, gate_rows, reference, config, run, fresh)
            decision = decide(version.name, version.version, reviews, gate_rows, config, f"training {flow_run.name}", run)

            result = RunResult(run, reviews, validation, padded, gate_rows, model, evaluation, version, decision, stages)
            record(result, config)
            publish(version.name, version.version, before=decision.replaced)
            publish_result(result, config)
            emit_decision(version.name, version.version, decision.outcome, decision.reason, run.url)
    return result
