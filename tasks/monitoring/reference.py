"""The reference: what is kept of a training's own reviews, to know later ones by."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.evaluation.scores import predict_labels
from tasks.handles import Evaluation, GateRows, PaddedReviews
from tasks.monitoring.profile import REFERENCE_ROWS, Profile, make_profile


def profile_gate_rows(padded: PaddedReviews, evaluation: Evaluation, gate_rows: GateRows, threshold: float) -> Profile:
    """Return the profile of the gate rows or, of more than `REFERENCE_ROWS`, of those with the smallest digests.

    Gate rows, since the version has not learned from them, as it has not from reviews that are yet to come: on rows that it
    has learned from it is surer and more often right, and a vocabulary that was fitted on them leaves fewer of their words out,
    so clean new reviews would differ. Audit rows would do as well but stay sealed. Where versions are chosen by their accuracy
    on gate rows, it is a little too high there; the margin `accuracy_drop` is wider than that.
    """
    gate = pq.read_table(gate_rows.file("gate.parquet"), columns=["digest", "row"]).sort_by("digest")[:REFERENCE_ROWS]
    rows = gate["row"].to_numpy()
    scored = pq.read_table(evaluation.file("predictions.parquet")).sort_by("row")
    predictions = scored.take(pa.array(np.searchsorted(scored["row"].to_numpy(), rows)))
    chosen = np.searchsorted(np.load(padded.file("rows_test.npy")), rows)
    ids, lengths = (np.load(padded.file(f"{name}_test.npy"), mmap_mode="r")[chosen] for name in ("ids", "lengths"))
    probabilities = predictions["probability"].to_numpy()
    return make_profile(
        gate["digest"].combine_chunks(),
        ids,
        lengths - 1,  # without the start marker
        probabilities,
        predict_labels(probabilities, threshold),
        predictions["label"].to_numpy(),
        padded.vocabulary_size,
    )
