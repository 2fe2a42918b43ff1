import csv
import gzip
import io
import json

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.schema import DataConfig
from tasks.errors import DataError, DownloadError
from tasks.ingestion.tables import EXTENSIONS, read_tables

TEXTS = ['plain, "quoted"', "two\nlines\r\nand\ttab", "naïve \x85 \u2028 é", "", "NA", "null", "  ", "5"] * 5
LABELS = ["pos", "neg"] * 20


def config(path, **keys):
    return DataConfig(source="table", path=str(path), **keys)


def encode(frame, extension):
    plain = extension.removesuffix(".gz")
    if plain == ".parquet":
        content = frame.to_parquet(index=False)
    elif plain == ".jsonl":
        content = frame.to_json(orient="records", lines=True, force_ascii=False).encode()
    else:
        content = frame.to_csv(index=False, sep="\t" if plain == ".tsv" else ",").encode()
    return gzip.compress(content) if extension.endswith(".gz") else content


def write(tmp_path, frame, extension=".csv", stem="reviews"):
    path = tmp_path / f"{stem}{extension}"
    path.write_bytes(encode(frame, extension))
    return path


def frame_of(texts=TEXTS, labels=LABELS, **columns):
    return pd.DataFrame({"id": range(len(texts)), "text": texts, "label": labels, **columns})


def write_text(tmp_path, content, name="reviews.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def by_text(table):
    return sorted((row["text"], row["label"]) for row in table.to_pylist())


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_every_format_gives_the_same_rows(tmp_path, extension):
    table = read_tables(config(write(tmp_path, frame_of(), extension))).table
    assert by_text(table) == sorted((text, int(label == "pos")) for text, label in zip(TEXTS, LABELS, strict=True))
    assert table.schema.types == [pa.string(), pa.int8(), pa.string()]
    assert table["split"].to_pylist() == ["train"] * 32 + ["test"] * 8
    assert sum(table["label"].to_pylist()[32:]) == 4


@pytest.mark.parametrize("extension", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("labels", [[0, 1], ["0", "1"], ["negative", "positive"]])
def test_the_usual_labels_need_no_configuration(tmp_path, extension, labels):
    path = write(tmp_path, frame_of(labels=labels * 20), extension)
    assert by_text(read_tables(config(path)).table) == sorted(zip(TEXTS, [0, 1] * 20, strict=True))


def test_columns_and_labels_go_by_the_names_configured(tmp_path):
    frame = pd.DataFrame({"body": TEXTS, "stars": ["NA", "null"] * 20})
    keys = {"text_column": "body", "label_column": "stars", "negative_labels": ["NA"], "positive_labels": ["null"]}
    assert by_text(read_tables(config(write(tmp_path, frame), **keys)).table) == sorted(zip(TEXTS, [0, 1] * 20, strict=True))


def test_a_split_column_decides_and_test_rows_move_to_the_end(tmp_path):
    splits = ["test", "train", "validation", "train"] * 10
    table = read_tables(config(write(tmp_path, frame_of(part=splits)), split_column="part")).table
    kept = [text for text, split in zip(TEXTS, splits, strict=True) if split != "test"]
    assert table["text"].to_pylist()[:30] == kept
    assert table["split"].to_pylist() == ["train", "validation", "train"] * 10 + ["test"] * 10


@pytest.mark.parametrize("extension", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize(("value", "shown"), [("Test", "'Test'"), ("dev", "'dev'"), (None, "")])
def test_an_unknown_split_is_named_with_its_rows(tmp_path, extension, value, shown):
    splits = ["train", "test", value, "train"] * 10
    with pytest.raises(
        DataError, match=f"column 'part' holds {shown}.* in rows 3, 7, 11, 15, 19 and 5 more; a split is one of"
    ):
        read_tables(config(write(tmp_path, frame_of(part=splits), extension), split_column="part"))


def test_one_file_is_divided_the_same_way_each_time_and_by_seed(tmp_path):
    path = write(tmp_path, frame_of([f"text {number}" for number in range(40)]))
    first = read_tables(config(path)).table
    assert first.equals(read_tables(config(path)).table)
    assert not first.equals(read_tables(config(path, split_seed=1)).table)
    assert read_tables(config(path, test_fraction=0.5)).table["split"].to_pylist().count("test") == 20


def test_train_and_test_files_of_different_formats(tmp_path):
    train, test = write(tmp_path, frame_of(), ".jsonl.gz"), write(tmp_path, frame_of(["x", "y"], ["pos", "neg"]), ".parquet")
    table = read_tables(config(train, test_path=str(test))).table
    assert table["text"].to_pylist() == [*TEXTS, "x", "y"]
    assert table["split"].to_pylist() == ["train"] * 40 + ["test"] * 2


@pytest.mark.parametrize("validation", [False, True])
def test_a_folder_of_tables_named_for_splits(tmp_path, validation):
    for name in ("train", "test", "validation")[: 3 if validation else 2]:
        write(tmp_path, frame_of([f"{name} a", f"{name} b"], ["pos", "neg"]), ".csv.gz", stem=name)
    (tmp_path / "README.md").write_text("not a table")
    table = read_tables(config(tmp_path)).table
    expected = ["train", "train"] + ["validation", "validation"] * validation + ["test", "test"]
    assert table["split"].to_pylist() == expected
    assert [text.split()[0] for text in table["text"].to_pylist()] == expected


def test_a_folder_without_a_test_table_or_with_two_is_refused(tmp_path):
    write(tmp_path, frame_of(), stem="train")
    with pytest.raises(DataError, match="holds no test table"):
        read_tables(config(tmp_path))
    write(tmp_path, frame_of(), stem="test")
    with pytest.raises(DataError, match=r"data\.split_column names the splits within one file"):
        read_tables(config(tmp_path, split_column="part"))
    write(tmp_path, frame_of(), ".parquet", stem="test")
    with pytest.raises(DataError, match=r"holds both test\.csv and test\.parquet: remove one"):
        read_tables(config(tmp_path))


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_urls_read_as_local_paths_do(tmp_path, extension, scheme):
    path = write(tmp_path, frame_of(), extension)
    url = {"memory": f"memory://test_tables/reviews{extension}", "file": f"file://{path}"}[scheme]
    with fsspec.open(url, "wb") as file:
        file.write(encode(frame_of(), extension))
    assert read_tables(config(url)).table.equals(read_tables(config(path)).table)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_missing_column_is_named_and_so_are_those_present(tmp_path, extension):
    path = write(tmp_path, frame_of().rename(columns={"text": "body"}), extension)
    with pytest.raises(DataError, match=r"reviews\S* has no column 'text'; its columns are 'id', 'body', 'label'$"):
        read_tables(config(path))
    with pytest.raises(DataError, match="has no column 'sentiment'; its columns are"):
        read_tables(config(path, text_column="body", label_column="sentiment"))
    with pytest.raises(DataError, match="has no column 'part'; its columns are"):
        read_tables(config(path, text_column="body", split_column="part"))


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_empty_file_is_refused(tmp_path, extension):
    content = gzip.compress(b"") if extension.endswith(".gz") else b""
    with pytest.raises(DataError, match=r"reviews\S* is empty$"):
        read_tables(config(write_text(tmp_path, content, f"reviews{extension}")))


@pytest.mark.parametrize("extension", [".csv", ".tsv.gz", ".parquet"])
def test_a_header_without_rows_is_refused(tmp_path, extension):
    frame = pd.DataFrame({"text": pd.Series([], dtype="str"), "label": pd.Series([], dtype="int64")})
    with pytest.raises(DataError, match=r"reviews\S* has no rows$"):
        read_tables(config(write(tmp_path, frame, extension)))


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_missing_file_is_named(tmp_path, extension):
    with pytest.raises(DataError, match=f"^no such file: {tmp_path}/none{extension}$"):
        read_tables(config(tmp_path / f"none{extension}"))


@pytest.mark.parametrize("name", [name for name in EXTENSIONS if name.endswith(".gz")])
@pytest.mark.parametrize("damage", ["plain", "cut", "flipped"])
def test_a_damaged_gzip_is_refused(tmp_path, name, damage):
    whole = encode(frame_of(), name)
    flipped = whole[:-6] + bytes([whole[-6] ^ 255]) + whole[-5:]
    path = write_text(tmp_path, {"plain": b"text,label\n", "cut": whole[:-20], "flipped": flipped}[damage], f"reviews{name}")
    with pytest.raises(DataError, match=r"reviews\S* is no whole gzip file"):
        read_tables(config(path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.csv", b"text,label\na,1\nn\xe9e,0\n", "f.csv is not UTF-8: line 3 holds the byte 0xe9"),
        ("f.csv", "text,label\na,1\n".encode("utf-16"), "f.csv is not UTF-8: line 1 holds the byte 0xff"),
        ("f.tsv", b"text\tlabel\na\t1\nn\xe9e\t0\n", "f.tsv is not UTF-8: line 3"),
        ("f.jsonl", b'{"text": "n\xe9e", "label": 1}\n', "f.jsonl is not UTF-8: line 1"),
        ("f.csv", b"text,label\na,1\nb\n", r"f.csv cannot be read: .*Row #3: Expected 2 columns, got 1: b"),
        ("f.csv", b'text,label\na,1\n"never closed,0\nc,1\n', r"f.csv cannot be read: .*Row #3"),
        ("f.csv", b"text,text,label\na,b,1\n", "f.csv has 2 columns named 'text'"),
        ("f.jsonl", b'{"text": "a", "label": 1}\n{"text": \n', "f.jsonl cannot be read: line 2 is not JSON"),
        ("f.jsonl", b'{"text": "a", "label": 1}\n\n[1]\n', "f.jsonl cannot be read: line 3 is not a JSON object"),
        ("f.jsonl", b"[" * 200_000, "f.jsonl cannot be read: line 1 is not JSON"),
        ("f.jsonl", b'{"text": "a", "label": 1}\n{"text": 5, "label": 1}\n', "column 'text' holds int, not text, in row 2"),
        ("f.jsonl", b'{"text": "\\ud83d", "label": 1}\n', "column 'text' holds half a surrogate pair in row 1"),
        ("f.jsonl", b'{"text": "a", "label": 1.0}\n', r"column 'label' holds '1\.0' in row 1"),
        ("f.jsonl", b'{"text": "a", "label": 1}\n{"text": "b"}\n', "column 'label' has no label in row 2"),
        ("f.jsonl", b'{"text": "a", "label": NaN}\n', "column 'label' has no label in row 1"),
        ("f.csv", b"text,label\na,1\nb,\n", "column 'label' has no label in row 2"),
        ("f.csv", b"text,label\na,1.0\n", r"column 'label' holds '1\.0' in row 1"),
        ("f.parquet", b"PAR1 not really PAR1", "f.parquet cannot be read: "),
        ("f.xlsx", b"x", "f.xlsx is no table: its name ends in none of .csv, .csv.gz"),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line(tmp_path, name, content, message):
    with pytest.raises(DataError, match=message) as caught:
        read_tables(config(write_text(tmp_path, content, name)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "label", "message"),
    [
        (pa.array([1, 2]), pa.array([0, 1]), "column 'text' holds int64, not text"),
        (pa.array([b"a", b"b"]), pa.array([0, 1]), "column 'text' holds binary, not text"),
        (pa.array([["a"], ["b"]]), pa.array([0, 1]), "column 'text' holds list<.*>, not text"),
        (pa.array(["a", "b"]), pa.array([0.0, 1.0]), r"column 'label' holds 0\.0 in row 1"),
        (pa.array(["a", "b"]), pa.array([0, None]), "column 'label' has no label in row 2"),
        (pa.array(["a", "b"]), pa.array([None, None]), "column 'label' has no label in rows 1, 2"),
        (pa.array(["a", "b"]), pa.array([[0], [1]]), "column 'label' holds list<.*>, which cannot be labels"),
        (pa.array([b"\xff\xfe", b"b"]).view(pa.string()), pa.array([0, 1]), "cannot be read: Column 0.*[Ii]nvalid UTF8"),
    ],
)
def test_parquet_columns_of_another_type_are_not_cast(tmp_path, text, label, message):
    pq.write_table(pa.table({"text": text, "label": label}), tmp_path / "f.parquet")
    with pytest.raises(DataError, match=message):
        read_tables(config(tmp_path / "f.parquet"))


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_any_kind_of_text_column_is_text(tmp_path, kind):
    text = pa.array(["a", None, "b", "c"] * 3, pa.string())
    path = tmp_path / "f.parquet"
    pq.write_table(
        pa.table({"text": text.dictionary_encode() if pa.types.is_dictionary(kind) else text.cast(kind), "label": [0, 1] * 6}),
        path,
    )
    table = read_tables(config(path)).table
    assert table["text"].type == pa.string()
    assert table["text"].null_count == 3


def test_null_texts_are_kept_for_validation_to_see(tmp_path):
    lines = [{"text": None, "label": 0}, {"label": 1}, {"text": "", "label": 0}, {"text": "a", "label": 1}] * 5
    path = write_text(tmp_path, "\n".join(json.dumps(line) for line in lines), "f.jsonl")
    texts = read_tables(config(path)).table["text"].to_pylist()
    assert (texts.count(None), texts.count(""), texts.count("a")) == (10, 5, 5)


def test_a_parquet_file_of_null_texts_alone_is_kept_too(tmp_path):
    pq.write_table(pa.table({"text": pa.nulls(20), "label": [0, 1] * 10}), tmp_path / "f.parquet")
    assert read_tables(config(tmp_path / "f.parquet")).table["text"].null_count == 20


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    rows = "".join(f"text {number},{number % 2}\n" for number in range(20))
    path = write_text(tmp_path, f"\ufefftext,label\n{rows}")
    assert read_tables(config(path)).table.num_rows == 20


def test_a_row_longer_than_a_reader_s_block_is_read(tmp_path):
    long = "word " * 1_000_000
    path = write(tmp_path, frame_of([long, "short"] * 2 + ["x", "y"], [0, 0, 1, 1, 0, 1]))
    assert long in read_tables(config(path, test_fraction=0.5)).table["text"].to_pylist()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=20), min_size=1, max_size=15
    )
)
def test_csv_gives_every_text_back(tmp_path, texts):
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
    writer.writerows([["text", "label", "part"], *([text, 1, "train"] for text in texts)])
    path = write_text(tmp_path, stream.getvalue())
    assert read_tables(config(path, split_column="part")).table["text"].to_pylist() == texts


def test_a_host_that_does_not_answer_is_no_fault_of_the_user():
    with pytest.raises(DownloadError, match=r"^cannot read http://127\.0\.0\.1:9/reviews\.csv: "):
        read_tables(config("http://me:secret@127.0.0.1:9/reviews.csv?signature=secret"))


@pytest.mark.parametrize(
    ("url", "message"), [("nosuch://a/b.csv", "cannot open nosuch://a/b.csv: Protocol not known"), ("s3:///b.csv", "b.csv")]
)
def test_a_url_of_a_kind_that_cannot_be_opened_is_refused(url, message):
    with pytest.raises((DataError, DownloadError), match=message):
        read_tables(config(url))


def test_a_folder_named_as_a_table_is_refused(tmp_path):
    (tmp_path / "reviews.csv").mkdir()
    with pytest.raises(DataError, match=r"reviews\.csv is a folder, not a file"):
        read_tables(config(tmp_path / "reviews.csv"))
