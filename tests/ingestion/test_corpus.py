"""The canonical Parquet."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.ingestion import corpus as module
from tasks.ingestion.corpus import Corpus, write_reviews

TEXTS = [*(f"text {number}" * (number % 7) for number in range(50)), None, "é"]


def write(path, *batches):
    texts = (pa.array(batch, pa.string()) for batch in batches)  # an iterator: texts are read once
    labels = np.arange(len(TEXTS), dtype=np.int8) % 2
    splits = np.array(["train", "test"], dtype=object)[labels]
    write_reviews(Corpus(texts, labels, splits), path)
    return path


@pytest.mark.parametrize("cuts", [[1, 2, 3], [0, 20, 20, 40], [10, 20, 30], [51]])
@pytest.mark.parametrize("group", [10, 26, 16_384])
def test_the_same_rows_give_the_same_bytes_however_they_are_batched(tmp_path, monkeypatch, cuts, group):
    monkeypatch.setattr(module, "ROW_GROUP_ROWS", group)
    batches = [TEXTS[start:end] for start, end in zip([0, *cuts], [*cuts, len(TEXTS)], strict=True)]
    one, many = write(tmp_path / "one", TEXTS), write(tmp_path / "many", *batches)
    assert one.read_bytes() == many.read_bytes()
    assert pq.read_table(one)["text"].to_pylist() == TEXTS
    file = pq.ParquetFile(one)
    assert [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)] == [
        *[group] * (len(TEXTS) // group),
        *([len(TEXTS) % group] if len(TEXTS) % group else []),
    ]
