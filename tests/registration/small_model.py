"""A version that is real but for its training: an untrained network of the project's own, logged and registered as any."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa

from configs.loading import check_config, override, read_config
from configs.schema import ModelConfig
from tasks.handles import GateRows, PaddedReviews, TrainedModel
from tasks.ngram_model import MIN_TEXTS, count_ngrams, fit_ngrams
from tasks.registration.manifest import hash_files, version_record
from tasks.registration.model_files import downloaded_model
from tasks.registration.packaging import log_model
from tasks.registration.training_texts import log_training_texts
from tasks.registration.versions import VersionSummary, create_version, find_version, make_challenger
from tasks.served_model import TextEncoder
from tasks.tracking import training_run

NAME = "small-lstm"
TEXTS = ["a film that i will not forget", "dull from the first minute to the last", ""]
WORDS = ("the", "a", "film", "that", "i", "will", "not", "forget", "dull", "from", "first", "minute", "to", "last")
VOCABULARY, MAXLEN = 20, 12


def save_small_model(folder: Path, seed: int = 0, longest_ngram: int = 0) -> tuple[TrainedModel, PaddedReviews]:
    """Write what the training and the padding stage would hand to the registration, of n-grams where their length is given."""
    import keras

    from tasks.training import lstm
    from tasks.training.network import build_network, hash_weights, summarize

    keras.utils.set_random_seed(seed)
    network = build_network(
        ModelConfig(mask_padding=longest_ngram > 0),
        vocabulary_size=VOCABULARY,
        maxlen=MAXLEN,
        padding="pre",
        longest_ngram=longest_ngram,
    )
    folder.mkdir(parents=True, exist_ok=True)
    network.save(folder / "model.keras")
    shutil.copy(lstm.__file__, folder / "lstm.py")
    (folder / "summary.txt").write_text(summarize(network))
    encoder = TextEncoder(WORDS, VOCABULARY, MAXLEN)
    encoder.save(folder / "vocabulary.json")
    if longest_ngram:
        ids, lengths = encoder.encode(pa.array(TEXTS[:2] * MIN_TEXTS))
        counted = count_ngrams(ids, lengths, longest=longest_ngram)
        fit_ngrams(counted, np.array([1, 0] * MIN_TEXTS, np.int8)).save(folder / "ngrams.npz")
    model = TrainedModel(
        path=str(folder),
        sha256=hash_weights(network),
        parameters=network.count_params(),
        epochs_run=1,
        best_epoch=1,
        history={"loss": (0.69,)},
    )
    none = {"train": 0, "validation": 0, "test": 0}
    padded = PaddedReviews(
        path=str(folder),
        sha256="0" * 64,
        vocabulary_size=VOCABULARY,
        maxlen=MAXLEN,
        rows=none,
        truncated_share=none,
        out_of_vocabulary_share=none,
        padding_share=none,
        longest_ngram=longest_ngram,
    )
    return model, padded


def register_small_version(
    model: TrainedModel, padded: PaddedReviews, name: str = NAME, gate_rows: GateRows | None = None
) -> VersionSummary:
    """Register a saved small model in the MLflow of the environment, with the record of its files, as a run does.

    Where gate rows are given, it is said to have been trained on the texts that they say.
    """
    config = check_config(override(read_config("imdb"), ["tracking.system_metrics=false"]), "small version")
    with training_run(config, name="small", tags={}) as run:
        model_id, model_uri = log_model(run, model, padded, threshold=0.5, step=1)
        with downloaded_model(model_uri) as folder:
            record = version_record(hash_files(folder), {"reviews": "0" * 64})
        texts = {} if gate_rows is None else log_training_texts(run, gate_rows)
        created = create_version(
            name,
            run,
            model_id=model_id,
            model_uri=model_uri,
            weights_sha256=model.sha256,
            tags={"weights_sha256": model.sha256, **record, **texts},
        )
        make_challenger(created)
    return find_version(created.name, created.version).summary
