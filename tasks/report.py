"""What a run did: as Markdown for people, and as JSON for programs. Pure functions of handles."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from configs.loading import flatten
from configs.schema import Config
from tasks.baseline_report import baseline_lines, tell_gain
from tasks.gate_report import gate_lines
from tasks.handles import (
    BaselineComparison,
    Decision,
    Evaluation,
    GateRows,
    ModelVersion,
    PaddedReviews,
    Reviews,
    StageRecord,
    TrackedRun,
    TrainedModel,
    TrialOutcome,
    ValidationReport,
)
from tasks.markdown import table
from tasks.titles import METRIC_TITLES


class RunResult(NamedTuple):
    """Everything that one training run brought forth."""

    run: TrackedRun
    reviews: Reviews
    validation: ValidationReport
    padded: PaddedReviews
    gate_rows: GateRows
    model: TrainedModel
    evaluation: Evaluation
    version: ModelVersion
    decision: Decision
    stages: Sequence[StageRecord]


class SweepResult(NamedTuple):
    """A sweep's MLflow run, its best trial, and the training that followed it."""

    run: TrackedRun
    best: TrialOutcome
    training: RunResult


def headline(result: RunResult) -> str:
    """Return the run's outcome in one line."""
    accuracy = result.evaluation.metrics["accuracy"]
    return (
        f"{result.version.name} version {result.version.version}: test accuracy {accuracy.value:.2%} "
        f"[{accuracy.low:.2%}, {accuracy.high:.2%}], {result.decision.alias}; "
        f"a linear model has {result.evaluation.baseline.metrics['accuracy']:.2%}"
    )


def write_report(result: RunResult, config: Config) -> str:
    """Return the run's report as Markdown."""
    evaluation, validation = result.evaluation, result.validation
    return "\n".join(
        [
            f"# {result.version.name} version {result.version.version}",
            "",
            f"**{result.decision.outcome}**: {result.decision.reason}",
            "",
            *_run_lines(result),
            "",
            "## Gate",
            "",
            *gate_lines(result.decision),
            "",
            f"## Test metrics ({evaluation.rows:,} gate rows)",
            "",
            *metrics_table(evaluation),
            "",
            "## Beside a linear model",
            "",
            *_baseline_lines(evaluation),
            "",
            "## Accuracy by slice",
            "",
            *table(
                ["slice", "reviews", "accuracy", f"{evaluation.confidence:.0%} interval"],
                [
                    [
                        part.name,
                        f"{part.rows:,}",
                        f"{part.accuracy.value:.2%}",
                        f"{part.accuracy.low:.2%} to {part.accuracy.high:.2%}",
                    ]
                    for part in evaluation.slices
                ],
            ),
            "",
            "## Data",
            "",
            *data_lines(result.reviews, result.padded),
            f"- Validation: {'passed' if validation.passed else 'FAILED'}, {validation.checks} checks, "
            f"{len(validation.warnings)} warnings, {validation.excluded_rows} test reviews excluded",
            *(f"  - {warning}" for warning in validation.warnings),
            "",
            "## Training",
            "",
            *_history_table(result.model),
            "",
            f"- {result.model.parameters:,} parameters, {result.model.epochs_run} epochs, best epoch {result.model.best_epoch}",
            f"- Weights sha256: `{result.model.sha256}`",
            "",
            "## Seconds per stage",
            "",
            *stage_table(result.stages),
            "",
            "## Configuration",
            "",
            *table(["key", "value"], [[key, f"`{value}`"] for key, value in flatten(config.model_dump(mode="json")).items()]),
            "",
        ]
    )


def write_card(
    version: ModelVersion, model: TrainedModel, evaluation: Evaluation, padded: PaddedReviews, reviews: Reviews, config: Config
) -> str:
    """Return the card of a registered model whose champion, or newest version if it has none, is this version."""
    name, number = version.name, version.version
    accuracy = evaluation.metrics["accuracy"]
    return "\n".join(
        [
            f"# {name}",
            "",
            "Tells whether a review is positive, from its raw text: rightly for "
            f"{accuracy.value:.2%} of {evaluation.rows:,} test reviews, "
            f"with a {evaluation.confidence:.0%} interval from {accuracy.low:.2%} to {accuracy.high:.2%}. "
            f"This page speaks of version {number}.",
            "",
            "## Use",
            "",
            f"`mlflow.pyfunc.load_model('models:/{name}/{number}').predict(['A wonderful film.'])`",
            "",
            "It takes `list[str]` and gives, for each text, the probability of a positive review and the label, "
            f"1 from {config.evaluation.threshold:g} on. Tokenization, vocabulary and padding are inside.",
            "",
            f"## Figures on {evaluation.rows:,} test reviews (the gate rows)",
            "",
            *metrics_table(evaluation),
            "",
            *_baseline_lines(evaluation),
            "",
            "## Trained on",
            "",
            *data_lines(reviews, padded),
            "",
            "## Network",
            "",
            f"{_describe_network(config)}: {model.parameters:,} parameters. Reads {config.padding.maxlen} words of a review, "
            f"the {'last' if config.padding.truncating == 'pre' else 'first'} ones of a longer one.",
            "",
            "## Limits",
            "",
            f"- Of a review's words it knows {config.padding.vocabulary_size:,} at the most; "
            f"{padded.out_of_vocabulary_share['test']:.1%} of the test words are unknown to it.",
            "- It has seen reviews of one kind and language; of other text its probability means nothing.",
            "- A probability is not calibrated beyond what the calibration figure of its run shows.",
            "",
        ]
    )


def _describe_network(config: Config) -> str:
    padding, model = config.padding, config.model
    embedding = f"Embedding {padding.vocabulary_size} x {model.embedding_dimension}"
    if not padding.longest_ngram:
        return f"{embedding}, LSTM {model.lstm_units}, Dense 1 sigmoid"
    return (
        f"{embedding} beside the log ratios of n-grams of up to {padding.longest_ngram} words, LSTM {model.lstm_units} in both "
        "directions, the mean of their states, Dense 1, plus a linear model's logit, sigmoid"
    )


def write_json(result: RunResult, config: Config) -> dict[str, Any]:
    """Return the run as the JSON that `--report` writes."""
    return {
        "run_id": result.run.run_id,
        "model": result.version.name,
        "version": result.version.version,
        "alias": result.decision.alias,
        "decision": result.decision.model_dump(mode="json"),
        "test": {name: figure.value for name, figure in result.evaluation.metrics.items()},
        "intervals": {name: [figure.low, figure.high] for name, figure in result.evaluation.metrics.items()},
        "baseline": _baseline_as_json(result.evaluation.baseline),
        "parameters": result.model.parameters,
        "dataset": {
            "name": result.reviews.dataset,
            "source": result.reviews.source,
            "sha256": result.reviews.sha256,
            "rows": dict(result.padded.rows),
        },
        "gate_rows": result.gate_rows.model_dump(exclude={"path"}),
        "seconds": {record.stage: round(record.seconds, 3) for record in result.stages},
        "cpu_seconds": {record.stage: round(record.cpu_seconds, 3) for record in result.stages},
        "peak_mebibytes": round(max(record.peak_mebibytes for record in result.stages), 1),
        "reused": [record.stage for record in result.stages if record.reused],
        "weights_sha256": result.model.sha256,
        "config": config.model_dump(mode="json"),
    }


def metrics_table(evaluation: Evaluation) -> list[str]:
    """Return the test metrics with their intervals as the lines of a Markdown table."""
    rows = [
        [title, f"{figure.value:.4f}", f"{figure.low:.4f} to {figure.high:.4f}"]
        for name, title in METRIC_TITLES.items()
        for figure in [evaluation.metrics[name]]
    ]
    return table(["metric", "value", f"{evaluation.confidence:.0%} interval"], rows)


def stage_table(stages: Sequence[StageRecord]) -> list[str]:
    """Return each stage's seconds as the lines of a Markdown table."""
    rows = [
        [record.stage, f"{record.seconds:.1f}", f"{record.cpu_seconds:.1f}", "reused" if record.reused else "ran"]
        for record in stages
    ]
    total = [f"{sum(times):.1f}" for times in zip(*((one.seconds, one.cpu_seconds) for one in stages), strict=True)]
    return table(["stage", "seconds", "CPU seconds", ""], [*rows, ["total", *total, ""]])


def data_lines(reviews: Reviews, padded: PaddedReviews) -> list[str]:
    """Return what the model was trained on as the lines of a Markdown list."""
    rows = ", ".join(f"{count:,} {split}" for split, count in padded.rows.items())
    return [
        f"- Dataset `{reviews.dataset}` from `{reviews.source}`: {rows}",
        f"- sha256 of the reviews: `{reviews.sha256}`",
        f"- Cut to {padded.maxlen} words: {padded.truncated_share['train']:.1%} of the train reviews; "
        f"unknown words: {padded.out_of_vocabulary_share['train']:.1%}; "
        f"padding: {padded.padding_share['train']:.1%} of the cells",
    ]


def _baseline_lines(evaluation: Evaluation) -> list[str]:
    return baseline_lines(evaluation.baseline, {name: figure.value for name, figure in evaluation.metrics.items()})


def _baseline_as_json(comparison: BaselineComparison) -> dict[str, Any]:
    pair = comparison.accuracy
    return {
        **comparison.metrics,
        "gain": pair.gain.model_dump(),
        "only_lstm_right": pair.only_challenger,
        "only_baseline_right": pair.only_champion,
        "sentence": tell_gain(comparison),
        **comparison.model_dump(include={"train_rows", "learnt_rows", "ngrams"}),
    }


def _run_lines(result: RunResult) -> list[str]:
    run, version = result.run, result.version
    named = f"[`{run.run_id}`]({run.url})" if run.url else f"`{run.run_id}`"
    return [
        f"- MLflow run {named} in the experiment `{run.experiment}`",
        f"- Model `{version.model_uri}`; `reprise show {version.version} --model {version.name}` tells of it",
    ]


def _history_table(model: TrainedModel) -> list[str]:
    columns: Mapping[str, str] = {
        "loss": "loss",
        "accuracy": "accuracy",
        "val_loss": "validation loss",
        "val_accuracy": "validation accuracy",
    }
    epochs = zip(*(model.history[name] for name in columns), strict=True)
    return table(
        ["epoch", *columns.values()], [[str(n), *(f"{value:.4f}" for value in row)] for n, row in enumerate(epochs, 1)]
    )
