"""The stages of the room: the test split is divided, and a linear model and the trained network score its gate rows."""

import logging
from pathlib import Path

import numpy as np

from configs.schema import EvaluationConfig
from tasks.handles import Baseline, Evaluation, GateRows, PaddedReviews, Reviews, TrackedRun, TrainedModel, ValidationReport
from tasks.progress import tell
from tasks.stage import cached_stage, stage
from tasks.workspace import published, sha256_of_file

TASKS = Path(__file__).parents[1]
STEPS = 4
logger = logging.getLogger("reprise.evaluation")


@cached_stage("gate rows", uses=(TASKS / "parquet_batches.py", TASKS / "text_digests.py", TASKS / "served_model.py"))
def choose_gate_rows(folder: Path, reviews: Reviews, report: ValidationReport, audit_fraction: float) -> GateRows:
    """Divide the test split by the content of its texts, so that a row is sealed in every run or in none."""
    from tasks.evaluation.gate_rows import write_gate_rows

    excluded = np.load(report.file("excluded_rows.npy"))
    sha256, rows, audit_rows = write_gate_rows(reviews.file("reviews.parquet"), excluded, audit_fraction, folder)
    return GateRows(path=str(folder), sha256=sha256, rows=rows, audit_rows=audit_rows)


BASELINE_USES = ("ngram_model.py", "padding/vocabulary.py", "parquet_batches.py", "served_model.py", "text_digests.py")


@cached_stage("baseline", uses=tuple(TASKS / name for name in BASELINE_USES))
def fit_baseline(folder: Path, reviews: Reviews, gate_rows: GateRows) -> Baseline:
    """Fit a linear model of words and word pairs on the train split, and score the gate rows with it.

    Raises:
        DataError: There is nothing to learn from: the train reviews are of one class, or have no words in common.
    """
    import pyarrow.parquet as pq

    from tasks.evaluation.assessment import tabulate_predictions
    from tasks.evaluation.baseline import fit_linear_model, read_train_reviews, score_rows

    texts = reviews.file("reviews.parquet")
    train = read_train_reviews(texts)
    if len(train.labels) < train.available:
        logger.info("the linear model learns from %d of %d train reviews", len(train.labels), train.available)
    model = fit_linear_model(train)
    gate = pq.read_table(gate_rows.file("gate.parquet"), columns=["row", "label"])
    rows = gate["row"].to_numpy()
    predictions = tabulate_predictions(rows, gate["label"].to_numpy(), score_rows(model, texts, rows))
    pq.write_table(predictions, folder / "predictions.parquet")
    return Baseline(
        path=str(folder),
        sha256=sha256_of_file(folder / "predictions.parquet"),
        rows=len(predictions),
        train_rows=train.available,
        learnt_rows=len(train.labels),
        ngrams=len(model.ngrams.keys),
    )


@stage("evaluation")
def evaluate(
    model: TrainedModel,
    padded: PaddedReviews,
    reviews: Reviews,
    gate_rows: GateRows,
    baseline: Baseline,
    evaluation: EvaluationConfig,
    run: TrackedRun,
) -> Evaluation:
    """Score the gate rows of the test split, compare with the linear model, and write what was found into the run's folder.

    Raises:
        DataError: There are no gate rows, they have one class, or do not belong to the reviews.
        ModelMismatch: The network does not give one finite probability per row.
    """
    # Late, so that the command answers --help without scikit-learn, matplotlib and the network's runtime.
    import pyarrow.parquet as pq

    from tasks.evaluation.assessment import assess, summarize, tabulate_predictions
    from tasks.evaluation.beside import compare_with_baseline
    from tasks.evaluation.figures import draw_figures, save_figures
    from tasks.evaluation.mistakes import list_mistakes
    from tasks.evaluation.scores import check_labels
    from tasks.served_model import Inputs, Predictor

    test_rows = np.load(padded.file("rows_test.npy"))
    chosen = np.flatnonzero(
        np.isin(test_rows, pq.read_table(gate_rows.file("gate.parquet"), columns=["row"])["row"].to_numpy())
    )
    labels, rows, with_marker = (
        np.load(padded.file(f"{name}_test.npy"), mmap_mode="r")[chosen] for name in ("labels", "rows", "lengths")
    )
    inputs = Inputs(*(np.load(path, mmap_mode="r")[chosen] for path in padded.input_files("test")))
    words = with_marker - 1
    check_labels(labels)
    tell("evaluation", 0, STEPS, "steps", "scores")
    probabilities = Predictor(model.file("model.keras"), model.file("lstm.py")).probabilities(inputs, evaluation.batch_size)
    tell("evaluation", 1, STEPS, "steps", "intervals")
    assessment = assess(labels, probabilities, words, evaluation)
    beside = compare_with_baseline(rows, labels, probabilities, baseline, evaluation)
    tell("evaluation", 2, STEPS, "steps", "mistakes")
    mistakes = list_mistakes(
        labels,
        probabilities,
        rows=rows,
        lengths=words,
        reviews=reviews.file("reviews.parquet"),
        threshold=evaluation.threshold,
        limit=evaluation.mistakes,
    )
    tell("evaluation", 3, STEPS, "steps", "figures")
    figures = draw_figures(model.history, labels, probabilities, assessment.metrics, threshold=evaluation.threshold)
    folder = Path(run.folder) / "evaluation"
    with published(folder) as draft:
        pq.write_table(tabulate_predictions(rows, labels, probabilities), draft / "predictions.parquet")
        mistakes.to_parquet(draft / "mistakes.parquet", index=False)
        save_figures(figures, draft / "figures")
        sha256 = sha256_of_file(draft / "predictions.parquet")
    logger.info(summarize(assessment.metrics))
    return Evaluation(
        path=str(folder),
        sha256=sha256,
        rows=labels.size,
        confidence=evaluation.confidence,
        baseline=beside,
        **assessment._asdict(),
    )
