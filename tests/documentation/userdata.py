"""What a reader of the pages has: reviews, tables to score and to compare, a configuration. All of it is made up."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.ingestion import sample

TRAIN_ROWS, TEST_ROWS = 20_000, 5_000
"""So many that the preset `imdb`, with its small steps, learns enough to pass its floors."""


def write_imdb(path: Path) -> None:
    """Write reviews as an npz in Keras's layout, and its word index beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "TRAIN_ROWS", TRAIN_ROWS)
        patch.setattr(sample, "TEST_ROWS", TEST_ROWS)
        corpus = sample.generate_sample()
    texts = [re.findall(r"[a-z]+", text.as_py().lower()) for part in corpus.texts for text in part]
    ranks = {
        word: rank for rank, (word, _) in enumerate(Counter(word for text in texts for word in text).most_common(), start=1)
    }
    rows = np.empty(len(texts), dtype=object)
    rows[:] = [[ranks[word] for word in text] for text in texts]
    labels = corpus.labels.astype(np.int64)
    parts = {
        "x_train": rows[:TRAIN_ROWS],
        "y_train": labels[:TRAIN_ROWS],
        "x_test": rows[TRAIN_ROWS:],
        "y_test": labels[TRAIN_ROWS:],
    }
    np.savez(path, **parts)
    path.with_name("imdb_word_index.json").write_text(json.dumps(ranks))


def write_tables(folder: Path) -> None:
    """Write the tables that the pages name, with 400 reviews where they are only scored, and `my.yaml`."""
    corpus = sample.generate_sample()
    texts = [text.as_py() for part in corpus.texts for text in part]
    reviews = pd.DataFrame({"text": texts, "label": corpus.labels})
    some = reviews.head(400)
    named = reviews.assign(label=reviews["label"].map({0: "bad", 1: "good"})).rename(columns={"text": "message"})
    (folder / "tables").mkdir()
    reviews.to_csv(folder / "tables/reviews.csv", index=False)
    named.to_csv(folder / "tickets.csv", index=False)
    some.to_csv(folder / "new.csv", index=False)
    some[["text"]].to_csv(folder / "reviews.csv", index=False)
    some[["text"]].rename(columns={"text": "review"}).to_parquet(folder / "reviews.parquet")
    some[["text"]].rename(columns={"text": "body"}).to_json(folder / "new.jsonl", orient="records", lines=True)
    (folder / "reviews").mkdir()
    some.to_csv(folder / "reviews/october.csv", index=False)
    (folder / "my.yaml").write_text((Path(sample.__file__).parents[2] / "configs/sample.yaml").read_text())
