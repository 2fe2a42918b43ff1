"""The evaluation stage: the trained network scores the test split, once."""

import logging
from pathlib import Path

import numpy as np

from configs.schema import EvaluationConfig
from tasks.handles import Evaluation, PaddedReviews, Reviews, TrackedRun, TrainedModel
from tasks.stage import stage
from tasks.workspace import published, sha256_of_file

logger = logging.getLogger("reprise.evaluation")


@stage("evaluation")
def evaluate(
    model: TrainedModel, padded: PaddedReviews, reviews: Reviews, evaluation: EvaluationConfig, run: TrackedRun
) -> Evaluation:
    """Score the test split and write what was found into the run's folder.

    Raises:
        DataError: The test split is empty, has one class, or does not belong to the reviews.
        ModelMismatch: The network does not give one finite probability per row.
    """
    # Late, so that the command answers --help without scikit-learn, matplotlib and the network's runtime.
    import pyarrow.parquet as pq

    from tasks.evaluation.assessment import assess, summarize, tabulate_predictions
    from tasks.evaluation.figures import draw_figures, save_figures
    from tasks.evaluation.mistakes import list_mistakes
    from tasks.evaluation.scores import check_labels
    from tasks.served_model import Predictor

    ids, labels, rows, with_marker = (
        np.load(padded.file(f"{name}_test.npy"), mmap_mode="r") for name in ("ids", "labels", "rows", "lengths")
    )
    words = with_marker - 1
    check_labels(labels)
    probabilities = Predictor(model.file("model.keras"), model.file("lstm.py")).probabilities(ids, evaluation.batch_size)
    assessment = assess(labels, probabilities, words, evaluation)
    mistakes = list_mistakes(
        labels,
        probabilities,
        rows=rows,
        lengths=words,
        reviews=reviews.file("reviews.parquet"),
        threshold=evaluation.threshold,
        limit=evaluation.mistakes,
    )
    figures = draw_figures(model.history, labels, probabilities, assessment.metrics, threshold=evaluation.threshold)
    folder = Path(run.folder) / "evaluation"
    with published(folder) as draft:
        pq.write_table(tabulate_predictions(rows, labels, probabilities), draft / "predictions.parquet")
        mistakes.to_parquet(draft / "mistakes.parquet", index=False)
        save_figures(figures, draft / "figures")
        sha256 = sha256_of_file(draft / "predictions.parquet")
    logger.info(summarize(assessment.metrics))
    return Evaluation(
        path=str(folder), sha256=sha256, rows=labels.size, confidence=evaluation.confidence, **assessment._asdict()
    )
