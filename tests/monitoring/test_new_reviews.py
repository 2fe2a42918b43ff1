import json

import numpy as np
import pandas as pd
import pytest

from configs.monitoring import DataSource
from configs.schema import DataConfig
from tasks.errors import DataError
from tasks.monitoring.new_reviews import read_new_reviews

TRAINED_ON = DataConfig(source="imdb")
ROWS = pd.DataFrame({"text": [f"review {n}" for n in range(60)], "label": [n % 2 for n in range(60)]})


def read(path, limit=1000, trained_on=TRAINED_ON, **columns):
    return read_new_reviews(DataSource(path=str(path), **columns).as_data(trained_on), limit)


def write(rows, path):
    if path.name.endswith(".parquet"):
        rows.to_parquet(path)
    elif ".jsonl" in path.name:
        rows.to_json(path, orient="records", lines=True)
    else:
        rows.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def as_pairs(found):
    return sorted(zip(found.table["text"].to_pylist(), found.table["label"].to_pylist(), strict=True))


@pytest.mark.parametrize("name", ["new.csv", "new.csv.gz", "new.tsv", "new.jsonl", "new.parquet"])
def test_tables_are_read_with_and_without_labels(tmp_path, name):
    found = read(write(ROWS, tmp_path / name))
    assert (found.available, found.labelled) == (60, True)
    assert as_pairs(found) == sorted(ROWS.itertuples(index=False, name=None))
    found = read(write(ROWS[["text"]], tmp_path / name))
    assert (found.available, found.labelled) == (60, False)
    assert as_pairs(found) == sorted((text, None) for text in ROWS["text"])


def test_a_folder_of_tables_or_of_texts_and_a_url(tmp_path):
    write(ROWS[:20], tmp_path / "a.csv")
    write(ROWS[20:], tmp_path / "b.parquet")
    assert as_pairs(read(tmp_path)) == as_pairs(read(f"file://{tmp_path}")) == sorted(ROWS.itertuples(index=False, name=None))
    texts = tmp_path / "texts"
    texts.mkdir()
    for number, text in enumerate(ROWS["text"]):
        (texts / f"{number}.txt").write_text(text)
    assert as_pairs(read(texts)) == sorted((text, None) for text in ROWS["text"])


def test_of_too_many_the_same_are_drawn_in_whatever_order_they_come(tmp_path):
    shuffled = ROWS.sample(60, random_state=1)
    found, other = read(write(ROWS, tmp_path / "a.csv"), limit=20), read(write(shuffled, tmp_path / "b.csv"), limit=20)
    assert found.table.equals(other.table)
    assert (len(found.table), found.available) == (20, 60)
    labels = dict(ROWS.itertuples(index=False, name=None))
    assert all(labels[text] == label for text, label in as_pairs(found))
    drawn = [int(text.split()[1]) for text in found.table["text"].to_pylist()]
    assert 15 < np.mean(drawn) < 45, "not the first or the last"


def test_columns_and_labels_are_those_of_the_training_unless_given(tmp_path):
    path = write(
        ROWS.rename(columns={"text": "review", "label": "good"}).replace({"good": {0: "no", 1: "yes"}}), tmp_path / "a.csv"
    )
    own = {"text_column": "review", "label_column": "good", "negative_labels": ["no"], "positive_labels": ["yes"]}
    trained_on = DataConfig(source="table", path="old.csv", test_path="old_test.csv", split_seed=4, **own)
    assert (
        as_pairs(read(path, trained_on=trained_on))
        == as_pairs(read(path, **own))
        == sorted(ROWS.itertuples(index=False, name=None))
    )
    assert not read(path, text_column="review").labelled


def test_what_cannot_be_read_is_told_in_one_line(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv is not there"):
        read(tmp_path / "none.csv")
    (tmp_path / "notes.md").write_text("notes")
    with pytest.raises(DataError, match=r"notes\.md is no table"):
        read(tmp_path / "notes.md")
    with pytest.raises(DataError, match="holds no reviews: neither a table"):
        read(tmp_path)
    with pytest.raises(DataError, match="no column 'review'; its columns are 'text', 'label'"):
        read(write(ROWS, tmp_path / "a.csv"), text_column="review")
    with pytest.raises(DataError, match=r"holds '7' in row 4, which is in neither"):
        read(write(ROWS.assign(label=ROWS["label"].where(ROWS.index != 3, 7)), tmp_path / "a.csv"))
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in [{"text": "good", "label": 1}, {"text": "bad"}]))
    with pytest.raises(DataError, match="has no label in row 2"):
        read(tmp_path / "a.jsonl")
    (tmp_path / "a.jsonl").write_text('{"text": null}\n{"text": "bad"}\n')
    with pytest.raises(DataError, match="'text' has no text in row 1"):
        read(tmp_path / "a.jsonl")
    (tmp_path / "empty.csv").write_text("text\n")
    with pytest.raises(DataError, match=r"empty\.csv has no rows"):
        read(tmp_path / "empty.csv")


def test_labels_in_some_files_alone_are_refused(tmp_path):
    write(ROWS[:20], tmp_path / "a.csv")
    write(ROWS[20:][["text"]], tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"a\.csv has labels and .*b\.csv has none"):
        read(tmp_path)


def test_a_key_that_is_of_no_table_and_a_secret_are_refused():
    with pytest.raises(ValueError, match="split_column"):
        DataSource(path="a.csv", split_column="split")
    with pytest.raises(ValueError, match="would be recorded"):
        DataSource(path="s3://key:secret@bucket/a.csv")
