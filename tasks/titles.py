"""What a person reads for the name of a metric."""

METRIC_TITLES = {
    "accuracy": "Accuracy",
    "loss": "Loss",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "brier_score": "Brier score",
}
