"""The padding stage."""

import hashlib
import json
from pathlib import Path

import numpy as np

from configs.schema import PaddingConfig
from tasks.errors import DataError
from tasks.handles import PaddedReviews, Reviews, ValidationReport
from tasks.stage import cached_stage
from tasks.workspace import sha256_of_file

SERVED_MODEL = Path(__file__).parents[1] / "served_model.py"
PARQUET_BATCHES = Path(__file__).parents[1] / "parquet_batches.py"
NGRAM_MODEL = Path(__file__).parents[1] / "ngram_model.py"


@cached_stage("padding", uses=(SERVED_MODEL, PARQUET_BATCHES, NGRAM_MODEL))
def pad_reviews(folder: Path, reviews: Reviews, report: ValidationReport, padding: PaddingConfig) -> PaddedReviews:
    """Encode and pad every split, with the source's own vocabulary or one fitted on the train split; and measure its n-grams.

    Raises:
        DataError: `padding.vocabulary` is `given` and the source brought no word index; or the train split is none that
            n-grams can be fitted on.
    """
    from tasks.padding.arrays import read_train_texts, write_arrays
    from tasks.padding.ngram_arrays import write_ngram_arrays
    from tasks.padding.vocabulary import fit_vocabulary
    from tasks.served_model import TextEncoder

    if padding.vocabulary == "given" and not reviews.has_vocabulary:
        raise DataError(f"padding.vocabulary is 'given', but {reviews.source} brings no word index: use 'auto' or 'fitted'")
    texts = reviews.file("reviews.parquet")
    if reviews.has_vocabulary and padding.vocabulary != "fitted":
        words = tuple(json.loads(reviews.file("vocabulary.json").read_text(encoding="utf-8")))
    else:
        words = fit_vocabulary(read_train_texts(texts), padding.vocabulary_size)
    encoder = TextEncoder(words, padding.vocabulary_size, padding.maxlen, padding.padding, padding.truncating)
    encoder.save(folder / "vocabulary.json")
    rows, shares = write_arrays(texts, encoder, np.load(report.file("excluded_rows.npy")), folder)
    if padding.longest_ngram:
        write_ngram_arrays(texts, encoder, padding.longest_ngram, folder)
    digests = {path.name: sha256_of_file(path) for path in sorted(folder.iterdir())}
    return PaddedReviews(
        path=str(folder),
        sha256=hashlib.sha256(json.dumps(digests).encode()).hexdigest(),
        vocabulary_size=padding.vocabulary_size,
        maxlen=padding.maxlen,
        longest_ngram=padding.longest_ngram,
        rows=rows,
        truncated_share={split: share.truncated for split, share in shares.items()},
        out_of_vocabulary_share={split: share.out_of_vocabulary for split, share in shares.items()},
        padding_share={split: share.padding for split, share in shares.items()},
    )
