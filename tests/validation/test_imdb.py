"""The figures known of the real IMDB reviews."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq


def test_imdb_repeats_96_and_199_texts_and_leaks_123(real_imdb, write, check_again):
    train, test = (
        pq.read_table(real_imdb / f"{name}.parquet", columns=["text", "label"]).to_pandas() for name in ("train", "test")
    )
    split = np.full(len(train), "train", dtype=object)
    split[np.random.default_rng(0).permutation(len(train))[:5000]] = "validation"
    reviews = write(pd.concat([train.assign(split=split), test.assign(split="test")]))

    report = check_again(reviews, docs=True, drop_leaked=True)

    assert report.passed
    assert report.measured["rows"] == 50_000
    assert report.measured["duplicates_train"] == 96
    assert report.measured["duplicates_test"] == 199
    assert report.measured["leaked_test_rows"] == report.excluded_rows == 123
    assert report.measured["conflicting_rows"] == 0
    assert report.measured["rows_test"] == 25_000 - 123
    assert "123 of 25000 rows" in report.warnings[0]
