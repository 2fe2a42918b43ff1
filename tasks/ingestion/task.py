"""Stage 1: any source of labelled reviews -> canonical Parquet."""

import json
from pathlib import Path
from tempfile import TemporaryFile

from configs.schema import DataConfig
from tasks.handles import Reviews
from tasks.ingestion.corpus import write_reviews
from tasks.ingestion.source import describe_source, read_source, source_digest
from tasks.ingestion.splits import hold_out_validation
from tasks.stage import cached_stage
from tasks.workspace import sha256_of_file

SERVED_MODEL = Path(__file__).parents[1] / "served_model.py"
PARQUET_BATCHES = Path(__file__).parents[1] / "parquet_batches.py"


@cached_stage("ingestion", identity=source_digest, uses=(PARQUET_BATCHES, SERVED_MODEL))
def ingest(folder: Path, data: DataConfig) -> Reviews:
    """Read the source, take validation out of train, and write `reviews.parquet` and, if given, `vocabulary.json`."""
    with TemporaryFile(dir=folder) as spool:
        corpus = hold_out_validation(read_source(data, spool), data.validation_fraction, data.split_seed)
        write_reviews(corpus, folder / "reviews.parquet")
    if corpus.vocabulary is not None:
        (folder / "vocabulary.json").write_text(json.dumps(corpus.vocabulary))
    return Reviews(
        path=str(folder),
        sha256=sha256_of_file(folder / "reviews.parquet"),
        dataset=data.dataset,
        source=describe_source(data),
        source_sha256=source_digest(data),
        rows=corpus.count_rows(),
        has_vocabulary=corpus.vocabulary is not None,
    )
