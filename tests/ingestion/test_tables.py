import csv
import gzip
import io
import json
import re
from collections import Counter

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.schema import DataConfig
from tasks.errors import DataError, DownloadError
from tasks.ingestion import content, table_formats
from tasks.ingestion.table_formats import EXTENSIONS
from tasks.ingestion.tables import read_tables
from tests.ingestion.conftest import table_of

TEXTS = ['plain, "quoted"', "two\nlines\r\nand\ttab", "naïve \x85 \u2028 é", "", "NA", "null", "  ", "5"] * 5
LABELS = ["pos", "neg"] * 20


def read(path, **keys):
    with io.BytesIO() as spool:
        return table_of(read_tables(DataConfig(source="table", path=str(path), **keys), spool))


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
    table = read(write(tmp_path, frame_of(), extension))
    assert by_text(table) == sorted((text, int(label == "pos")) for text, label in zip(TEXTS, LABELS, strict=True))
    assert table.schema.types == [pa.string(), pa.int8(), pa.string()]
    assert Counter(zip(table["split"].to_pylist(), table["label"].to_pylist(), strict=True)) == {
        ("train", 0): 16,
        ("train", 1): 16,
        ("test", 0): 4,
        ("test", 1): 4,
    }


@pytest.mark.parametrize("extension", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("labels", [[0, 1], ["0", "1"], ["negative", "positive"]])
def test_the_usual_labels_need_no_configuration(tmp_path, extension, labels):
    path = write(tmp_path, frame_of(labels=labels * 20), extension)
    assert by_text(read(path)) == sorted(zip(TEXTS, [0, 1] * 20, strict=True))


def test_columns_and_labels_go_by_the_names_configured(tmp_path):
    frame = pd.DataFrame({"body": TEXTS, "stars": ["NA", "null"] * 20})
    keys = {"text_column": "body", "label_column": "stars", "negative_labels": ["NA"], "positive_labels": ["null"]}
    assert by_text(read(write(tmp_path, frame), **keys)) == sorted(zip(TEXTS, [0, 1] * 20, strict=True))


def test_a_split_column_decides_and_rows_keep_their_order(tmp_path):
    splits = ["test", "train", "validation", "train"] * 10
    table = read(write(tmp_path, frame_of(part=splits)), split_column="part")
    assert table["text"].to_pylist() == TEXTS
    assert table["split"].to_pylist() == splits


@pytest.mark.parametrize("extension", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize(("value", "shown"), [("Test", "'Test'"), ("dev", "'dev'"), (None, "")])
def test_an_unknown_split_is_named_with_its_rows(tmp_path, extension, value, shown):
    splits = ["train", "test", value, "train"] * 10
    with pytest.raises(
        DataError, match=f"column 'part' holds {shown}.* in rows 3, 7, 11, 15, 19 and 5 more; a split is one of"
    ):
        read(write(tmp_path, frame_of(part=splits), extension), split_column="part")


def test_one_file_is_divided_the_same_way_each_time_and_by_seed(tmp_path):
    path = write(tmp_path, frame_of([f"text {number}" for number in range(40)]))
    first = read(path)
    assert first.equals(read(path))
    assert not first.equals(read(path, split_seed=1))
    assert read(path, test_fraction=0.5)["split"].to_pylist().count("test") == 20


def test_train_and_test_files_of_different_formats(tmp_path):
    train, test = write(tmp_path, frame_of(), ".jsonl.gz"), write(tmp_path, frame_of(["x", "y"], ["pos", "neg"]), ".parquet")
    table = read(train, test_path=str(test))
    assert table["text"].to_pylist() == [*TEXTS, "x", "y"]
    assert table["split"].to_pylist() == ["train"] * 40 + ["test"] * 2


@pytest.mark.parametrize("validation", [False, True])
def test_a_folder_of_tables_named_for_splits(tmp_path, validation):
    for name in ("train", "test", "validation")[: 3 if validation else 2]:
        write(tmp_path, frame_of([f"{name} a", f"{name} b"], ["pos", "neg"]), ".csv.gz", stem=name)
    (tmp_path / "README.md").write_text("not a table")
    table = read(tmp_path)
    expected = ["train", "train"] + ["validation", "validation"] * validation + ["test", "test"]
    assert table["split"].to_pylist() == expected
    assert [text.split()[0] for text in table["text"].to_pylist()] == expected


def test_a_folder_without_a_test_table_or_with_two_is_refused(tmp_path):
    write(tmp_path, frame_of(), stem="train")
    with pytest.raises(DataError, match="holds no test table"):
        read(tmp_path)
    write(tmp_path, frame_of(), stem="test")
    with pytest.raises(DataError, match=r"data\.split_column names the splits within one file"):
        read(tmp_path, split_column="part")
    write(tmp_path, frame_of(), ".parquet", stem="test")
    with pytest.raises(DataError, match=r"holds both test\.csv and test\.parquet: remove one"):
        read(tmp_path)


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_urls_read_as_local_paths_do(tmp_path, extension, scheme):
    path = write(tmp_path, frame_of(), extension)
    url = {"memory": f"memory://test_tables/reviews{extension}", "file": f"file://{path}"}[scheme]
    with fsspec.open(url, "wb") as file:
        file.write(encode(frame_of(), extension))
    assert read(url).equals(read(path))


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_missing_column_is_named_and_so_are_those_present(tmp_path, extension):
    path = write(tmp_path, frame_of().rename(columns={"text": "body"}), extension)
    with pytest.raises(DataError, match=r"reviews\S* has no column 'text'; its columns are 'id', 'body', 'label'$"):
        read(path)
    with pytest.raises(DataError, match="has no column 'sentiment'; its columns are"):
        read(path, text_column="body", label_column="sentiment")
    with pytest.raises(DataError, match="has no column 'part'; its columns are"):
        read(path, text_column="body", split_column="part")


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_empty_file_is_refused(tmp_path, extension):
    content = gzip.compress(b"") if extension.endswith(".gz") else b""
    with pytest.raises(DataError, match=r"reviews\S* is empty$"):
        read(write_text(tmp_path, content, f"reviews{extension}"))


@pytest.mark.fault("table hostile")
@pytest.mark.parametrize("extension", [".csv", ".tsv.gz", ".parquet"])
def test_a_header_without_rows_is_refused(tmp_path, extension):
    frame = pd.DataFrame({"text": pd.Series([], dtype="str"), "label": pd.Series([], dtype="int64")})
    with pytest.raises(DataError, match=r"reviews\S* has no rows$"):
        read(write(tmp_path, frame, extension))


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_missing_file_is_named(tmp_path, extension):
    with pytest.raises(DataError, match=f"^no such file: {tmp_path}/none{extension}$"):
        read(tmp_path / f"none{extension}")


@pytest.mark.fault("table hostile")
@pytest.mark.parametrize("name", [name for name in EXTENSIONS if name.endswith(".gz")])
@pytest.mark.parametrize("damage", ["plain", "cut", "flipped"])
def test_a_damaged_gzip_is_refused(tmp_path, name, damage):
    whole = encode(frame_of(), name)
    flipped = whole[:-6] + bytes([whole[-6] ^ 255]) + whole[-5:]
    path = write_text(tmp_path, {"plain": b"text,label\n", "cut": whole[:-20], "flipped": flipped}[damage], f"reviews{name}")
    with pytest.raises(DataError, match=r"reviews\S* is no whole gzip file"):
        read(path)


@pytest.mark.fault("table hostile")
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.csv", b"text,label\na,1\nn\xe9e,0\n", "f.csv is not UTF-8: line 3 holds the byte 0xe9"),
        ("f.csv", "text,label\na,1\n".encode("utf-16"), "f.csv is not UTF-8: line 1 holds the byte 0xff"),
        ("f.tsv", b"text\tlabel\na\t1\nn\xe9e\t0\n", "f.tsv is not UTF-8: line 3"),
        ("f.jsonl", b'{"text": "n\xe9e", "label": 1}\n', "f.jsonl is not UTF-8: line 1"),
        ("f.csv", b"text,label\na,1\nb\n", "f.csv cannot be read: row 2 has 1 columns and not 2, .*: b"),
        (
            "f.csv",
            b'text,label\na,1\n"never closed,0\nc,1\n',
            "f.csv cannot be read: row 2 has 1 columns and not 2, or a quotation mark is never closed",
        ),
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
        read(write_text(tmp_path, content, name))
    assert "\n" not in str(caught.value)


@pytest.mark.fault("table hostile")
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
        read(tmp_path / "f.parquet")


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_any_kind_of_text_column_is_text(tmp_path, kind):
    text = pa.array(["a", None, "b", "c"] * 3, pa.string())
    path = tmp_path / "f.parquet"
    pq.write_table(
        pa.table({"text": text.dictionary_encode() if pa.types.is_dictionary(kind) else text.cast(kind), "label": [0, 1] * 6}),
        path,
    )
    table = read(path)
    assert table["text"].type == pa.string()
    assert table["text"].null_count == 3


def test_null_texts_are_kept_for_validation_to_see(tmp_path):
    lines = [{"text": None, "label": 0}, {"label": 1}, {"text": "", "label": 0}, {"text": "a", "label": 1}] * 5
    path = write_text(tmp_path, "\n".join(json.dumps(line) for line in lines), "f.jsonl")
    texts = read(path)["text"].to_pylist()
    assert (texts.count(None), texts.count(""), texts.count("a")) == (10, 5, 5)


def test_a_parquet_file_of_null_texts_alone_is_kept_too(tmp_path):
    pq.write_table(pa.table({"text": pa.nulls(20), "label": [0, 1] * 10}), tmp_path / "f.parquet")
    assert read(tmp_path / "f.parquet")["text"].null_count == 20


@pytest.mark.fault("table hostile")
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    rows = "".join(f"text {number},{number % 2}\n" for number in range(20))
    path = write_text(tmp_path, f"\ufefftext,label\n{rows}")
    assert read(path).num_rows == 20


def test_a_row_longer_than_a_reader_s_block_is_read(tmp_path):
    long = "word " * 1_000_000
    path = write(tmp_path, frame_of([long, "short"] * 2 + ["x", "y"], [0, 0, 1, 1, 0, 1]))
    assert long in read(path, test_fraction=0.5)["text"].to_pylist()


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
    assert read(path, split_column="part")["text"].to_pylist() == texts


class TestBatches:
    """Files that are read in many batches, each of a few rows."""

    @pytest.fixture(autouse=True)
    def _small_batches(self, monkeypatch):
        monkeypatch.setattr(table_formats, "ROW_BYTES", 256)
        monkeypatch.setattr(table_formats, "PARQUET_ROWS", 3)
        monkeypatch.setattr(content, "BLOCK_BYTES", 7)

    @pytest.mark.parametrize("extension", EXTENSIONS)
    def test_they_give_the_same_rows_as_one(self, tmp_path, monkeypatch, extension):
        path = write(tmp_path, frame_of(part=["train", "test", "validation", "train"] * 10), extension)
        many = [read(path), read(path, split_column="part")]
        monkeypatch.undo()
        one = [read(path), read(path, split_column="part")]
        assert [table.combine_chunks() for table in many] == [table.combine_chunks() for table in one]
        assert many[0]["text"].num_chunks > one[0]["text"].num_chunks

    @pytest.mark.parametrize("extension", EXTENSIONS)
    def test_unknown_labels_are_named_by_their_rows_in_the_file(self, tmp_path, extension):
        labels = [*LABELS[:20], "meh", "bad", *["meh"] * 6, "worse", *LABELS[29:]]
        path = write(tmp_path, frame_of(labels=labels), extension)
        message = r"holds 'meh' in rows 21, 23, 24, 25, 26 and 2 more \(and 2 more unknown values\), which is in neither"
        with pytest.raises(DataError, match=message):
            read(path)

    @pytest.mark.parametrize("extension", EXTENSIONS)
    def test_unknown_splits_are_named_by_their_rows_in_the_file(self, tmp_path, extension):
        path = write(tmp_path, frame_of(part=["train"] * 30 + ["dev"] * 10), extension)
        with pytest.raises(DataError, match="holds 'dev' in rows 31, 32, 33, 34, 35 and 5 more; a split is one of"):
            read(path, split_column="part")

    def test_values_that_are_no_text_are_named_by_their_rows_in_the_file(self, tmp_path):
        lines = [f'{{"text": "text {number}", "label": {number % 2}}}' for number in range(40)]
        for number in (11, 30):
            lines[number] = '{"text": 5, "label": 1}'
        path = write_text(tmp_path, "\n".join(lines), "f.jsonl")
        with pytest.raises(DataError, match=r"column 'text' holds int, not text, in rows 12, 31$"):
            read(path)
        path.write_text("\n".join(lines).replace(": 5,", r': "\ud83d",'))
        with pytest.raises(DataError, match=r"column 'text' holds half a surrogate pair in rows 12, 31$"):
            read(path)

    def test_a_broken_row_is_named_by_its_place_in_the_file(self, tmp_path):
        rows = [f"text {number},{number % 2}" for number in range(40)]
        with pytest.raises(DataError, match=r"row 31 has 1 columns and not 2, .*: alone"):
            read(write_text(tmp_path, "\n".join(["text,label", *rows[:30], "alone", *rows[30:]])))
        lines = ['{"text": "a", "label": 1}'] * 30
        with pytest.raises(DataError, match=r"line 31 is not JSON"):
            read(write_text(tmp_path, "\n".join([*lines, "{", *lines]), "f.jsonl"))

    @pytest.mark.parametrize("letter", ["é", "€", "𝄞"])
    def test_a_letter_cut_by_a_block_is_utf8_and_half_of_one_is_not(self, tmp_path, letter):
        rows = "".join(f"{letter * (number % 5)} {number},{number % 2}\n" for number in range(40))
        assert read(write_text(tmp_path, f"text,label\n{rows}"))["text"].to_pylist()[4] == f"{letter * 4} 4"
        half = f"text,label\n{rows}".encode() + letter.encode()[:-1] + b",1\n"
        with pytest.raises(DataError, match=f"is not UTF-8: line 42 holds the byte {letter.encode()[0]:#04x}"):
            read(write_text(tmp_path, half))

    @pytest.mark.parametrize("block", range(40, 60))
    def test_line_ends_within_texts_stay_whole_wherever_a_block_ends(self, tmp_path, monkeypatch, block):
        monkeypatch.setattr(table_formats, "ROW_BYTES", block)
        texts = ["\r\n" * (number % 8) + "\r" * (number % 3) for number in range(40)]
        rows = "".join(f'"{text}",{number % 2}\r\n' for number, text in enumerate(texts))
        assert read(write_text(tmp_path, f"text,label\r\n{rows}"))["text"].to_pylist() == texts

    def test_a_column_not_asked_for_may_change_its_kind(self, tmp_path):
        frame = frame_of()
        frame["id"] = [*range(39), "last"]
        assert read(write(tmp_path, frame)).num_rows == 40

    @pytest.mark.parametrize("name", ["f.csv", "f.jsonl"])
    def test_a_row_of_several_blocks_is_refused(self, tmp_path, name):
        rows = f"text,label\na,1\n{'w' * 2000},0\n" if name == "f.csv" else '{"text": "%s", "label": 1}' % ("w" * 2000)
        with pytest.raises(DataError, match=r"f\.\w+ cannot be read: (a row after row 1|line 1) is longer than 0 MiB"):
            read(write_text(tmp_path, rows, name))

    def test_a_quotation_mark_that_is_never_closed_is_suspected(self, tmp_path):
        rows = "".join(f"text {number},{number % 2}\n" for number in range(100))
        with pytest.raises(
            DataError, match=r"cannot be read: a row after row 0 is longer than .*; perhaps a quotation mark is never closed"
        ):
            read(write_text(tmp_path, f'text,label\n"{rows}'))

    def test_bytes_damaged_within_a_gzip_are_told_as_damage_whatever_they_unzip_to(self, tmp_path):
        stored = gzip.compress(encode(frame_of(), ".jsonl"), compresslevel=0)
        path = write_text(tmp_path, stored.replace(b'{"id":9', b'["id":9'), "f.jsonl.gz")
        with pytest.raises(DataError, match=r"f\.jsonl\.gz is no whole gzip file: CRC"):
            read(path)

    def test_a_fault_of_a_text_in_parquet_is_told_with_what_stands_before(self, tmp_path):
        text = pa.array([b"a"] * 7 + [b"\xff"]).view(pa.string())
        pq.write_table(pa.table({"text": text, "label": [0, 1] * 4}), tmp_path / "f.parquet")
        with pytest.raises(DataError, match=r"cannot be read after row 6: Column 0.*[Ii]nvalid UTF8"):
            read(tmp_path / "f.parquet")

    @pytest.mark.parametrize("extension", [".parquet", ".parquet.gz", ".csv.gz"])
    def test_no_copy_stays_in_the_workspace(self, tmp_path, extension):
        with fsspec.open(f"memory://test_tables/copied{extension}", "wb") as file:
            file.write(encode(frame_of(), extension))
        assert read(f"memory://test_tables/copied{extension}").num_rows == 40
        assert list((tmp_path / "reprise-home").iterdir()) == []


def test_a_host_that_does_not_answer_is_no_fault_of_the_user():
    with pytest.raises(DownloadError, match=r"^cannot read http://127\.0\.0\.1:9/reviews\.csv: "):
        read("http://127.0.0.1:9/reviews.csv")


@pytest.mark.parametrize(
    ("url", "message"), [("nosuch://a/b.csv", "cannot open nosuch://a/b.csv: Protocol not known"), ("s3:///b.csv", "b.csv")]
)
def test_a_url_of_a_kind_that_cannot_be_opened_is_refused(url, message):
    with pytest.raises((DataError, DownloadError), match=message):
        read(url)


def test_a_folder_named_as_a_table_is_refused(tmp_path):
    (tmp_path / "reviews.csv").mkdir()
    with pytest.raises(DataError, match=r"reviews\.csv is a folder, not a file"):
        read(tmp_path / "reviews.csv")


def parts(folder, **columns):
    """Write three parts of one table beside files that are none, and return their texts in the order of the names."""
    folder.mkdir()
    for name in ("b.jsonl", "a.csv.gz", "c.parquet"):
        stem, extension = name.split(".", 1)
        texts = [f"{stem} {number}" for number in range(20)]
        write(folder, frame_of(texts, ["pos", "neg"] * 10, **columns), f".{extension}", stem)
    (folder / ".d.csv").write_text("half-writ")
    (folder / "_e.csv").write_text("half-writ")
    (folder / "notes.txt").write_text("no table")
    return [f"{stem} {number}" for stem in "abc" for number in range(20)]


def test_a_folder_or_glob_of_parts_is_one_table_in_the_order_of_names(tmp_path):
    texts = parts(tmp_path / "parts")
    table = read(tmp_path / "parts")
    assert table["text"].to_pylist() == texts
    assert Counter(table["split"].to_pylist()) == {"train": 48, "test": 12}
    assert read(tmp_path / "parts" / "*").equals(table)
    assert read(tmp_path / "parts" / "[ab].*")["text"].to_pylist() == texts[:40]


def test_parts_may_name_their_splits_or_be_one_themselves(tmp_path):
    parts(tmp_path / "parts", part=["train", "test"] * 10)
    assert read(tmp_path / "parts", split_column="part")["split"].to_pylist() == ["train", "test"] * 30
    test = write(tmp_path, frame_of(["x", "y"], ["pos", "neg"]), stem="held-out")
    assert read(tmp_path / "parts", test_path=str(test))["split"].to_pylist() == ["train"] * 60 + ["test"] * 2


@pytest.mark.parametrize("path", ["empty", "empty/*.csv"])
def test_a_folder_or_glob_without_a_table_is_named(tmp_path, path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=f"{re.escape(path)} holds no table"):
        read(tmp_path / path)


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path):
    write(tmp_path, frame_of(), stem="reviews1")
    odd = write(tmp_path, frame_of(["x", "y"] * 5, ["pos", "neg"] * 5), stem="reviews[1]")
    assert sorted(read(odd)["text"].to_pylist()) == ["x"] * 5 + ["y"] * 5


def test_parts_at_a_url():
    for name in ("a", "b"):
        with fsspec.open(f"memory://test_parts/{name}.csv", "wb") as file:
            file.write(encode(frame_of([f"{name} {number}" for number in range(10)], ["pos", "neg"] * 5), ".csv"))
    for path in ("memory://test_parts", "memory://test_parts/*.csv"):
        assert read(path)["text"].to_pylist() == [f"{name} {number}" for name in "ab" for number in range(10)]
    with pytest.raises(DataError, match=r"memory:///test_parts/b\.csv has no column 'stars'"):
        read("memory://test_parts/b*", label_column="stars")
