"""Small files that were made to take all memory, all time, or to run code; and tables at fault, format by format."""

import gzip
import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import DataError
from tests.faults.fuzz_readers import encode_table, ingest

NPZ = "npz hostile"
TABLE = "table hostile"
FRAME, END = b"\x80\x03cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01K\x02\x85", b"tb."
DTYPE = b"cnumpy\ndtype\nX\x02\x00\x00\x00O8\x89\x88\x87R(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89"


def member(pickled, rows=2):
    """Return an `.npy` file of so many objects with this pickle."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": (rows,)})
    return stream.getvalue() + pickled


def lists(items):
    """Return the pickle of an array of the objects that these opcodes make."""
    return member(FRAME + DTYPE + b"](" + items + b"e" + END)


def numbers(header, content=b""):
    """Return an `.npy` file with this header."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"fortran_order": False, **header})
    return stream.getvalue() + content


def write_npz(path, **members):
    """Write an npz of twelve reviews in each part, with these members in place of its own, and its word index beside it."""
    path.parent.mkdir(exist_ok=True)
    rows = np.empty(12, dtype=object)
    rows[:] = [[1, 2, 3] for _ in rows]
    labels = io.BytesIO()
    np.save(labels, np.array([0, 1] * 6))
    own = {f"x_{part}.npy": member(pickle.dumps(rows, 4), 12) for part in ("train", "test")}
    own |= {f"y_{part}.npy": labels.getvalue() for part in ("train", "test")}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in (own | {f"{name}.npy": content for name, content in members.items()}).items():
            archive.writestr(name, content)
    (path.parent / "imdb_word_index.json").write_text('{"a": 1, "b": 2, "c": 3}')
    return path


TWO = numbers({"descr": "<i8", "shape": (2,)}, bytes(16))
BOMBS = {
    "empty sets": {"x_train": member(b"\x80\x04](" + b"\x8f" * 20_000_000 + b"e.")},
    "empty lists": {"x_train": lists(b"]" * 6_000_000)},
    "a memo index of two billion": {"x_train": member(b"\x80\x02]r\xff\xff\xff\x7f.")},
    "a string said to be of exabytes": {"x_train": member(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x00abc.")},
    "bytes said to be of terabytes": {"x_train": member(b"\x80\x05\x96\x00\x00\x00\x00\x00\x10\x00\x00abc.")},
    "one list again and again": {"x_train": lists(b"](" + b"K\x01" * 1_000_000 + b"eq\x20" + b"h\x20" * 900)},
    "a shape of ten trillion": {"y_train": numbers({"descr": "<i8", "shape": (10**13,)})},
    "a shape below nothing": {"y_train": numbers({"descr": "<i8", "shape": (-1,)})},
    "items of no size": {"y_train": numbers({"descr": "|S0", "shape": (10**15,)})},
    "a member of a few more bytes than are read": {"x_train": member(bytes(1 << 27))},
}


@pytest.fixture(scope="module")
def bounded(tmp_path_factory):
    """What became of the bombs, all read by one process of bounded memory: told by their names, and its peak in MiB."""
    folder = tmp_path_factory.mktemp("bombs")
    paths = {name: write_npz(folder / str(number) / "r.npz", **members) for number, (name, members) in enumerate(BOMBS.items())}
    text = "w " * 500_000
    tables = {
        "a long line in gzip": ("a.csv.gz", gzip.compress(b"text,label\n" + b"w" * 140_000_000, 1)),
        "nothing in gzip": ("b.tsv.gz", gzip.compress(bytes(140_000_000), 1)),
        "a long string in gzip": ("c.jsonl.gz", gzip.compress(b'{"text":"' + b"w" * 140_000_000, 1)),
        "a million columns": ("d.csv", b"," * 1_000_000 + b"\n"),
        "columns behind quoted line ends": ("e.csv", b'"a\n\n",' * 5_000 + b"\n"),
    }
    for name, (file, content) in tables.items():
        paths[name] = folder / file
        paths[name].write_bytes(content)
    alike = pa.DictionaryArray.from_arrays(pa.array(np.zeros(200_000, np.int32)), pa.array([text]))
    parquet = {
        "one text 200,000 times": ({"text": alike, "label": np.arange(200_000) % 2}, {}),
        "a megabyte of text 200 times": ({"text": [text] * 200, "label": [0, 1] * 100}, {"use_dictionary": False}),
        "20,000 columns": ({f"c{number}": [1] for number in range(20_000)}, {}),
    }
    for name, (columns, options) in parquet.items():
        paths[name] = folder / f"{len(paths)}.parquet"
        pq.write_table(pa.table(columns), paths[name], compression="zstd", **options)
    command = [sys.executable, "-m", "tests.faults.read_bounded", folder, *paths.values()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    return {name: found["refused"][str(path)] for name, path in paths.items()}, found["peak_mib"]


@pytest.mark.fault(NPZ)
def test_an_npz_made_to_take_all_memory_is_refused(bounded, tries):
    told = [bounded[0][name] for name in BOMBS]
    tries(len(told), sum(map(bool, told)))
    assert all(told), bounded[0]
    assert all("\n" not in line and len(line) < 400 for line in told)
    assert bounded[1] < 2_000


@pytest.mark.fault(TABLE)
def test_a_table_made_to_take_all_memory_is_refused(bounded, tries):
    told = {name: line for name, line in bounded[0].items() if name not in BOMBS}
    tries(len(told), sum(map(bool, told.values())))
    assert re.search("bytes unpack to more than", told["one text 200,000 times"])
    assert re.search("bytes unpack to more than", told["a megabyte of text 200 times"])
    assert re.search("bytes unpack to more than", told["a long line in gzip"])
    assert re.search("columns, and at most 4,096 are read|longer than 1 MiB", told["a million columns"])
    assert re.search("5,001 columns, and at most 4,096 are read", told["columns behind quoted line ends"])
    assert re.search("20,000 columns, and at most 4,096 are read", told["20,000 columns"])
    assert all("\n" not in line and len(line) < 400 for line in told.values())
    assert bounded[1] < 2_000


class Call:
    """Pickles as a call."""

    def __init__(self, called, *arguments):
        self.call = called, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.fault(NPZ)
@pytest.mark.parametrize(
    "pickled",
    [
        lambda marker: pickle.dumps([Call(os.mkdir, marker)]),
        lambda marker: pickle.dumps([Call(eval, f"__import__('os').mkdir({marker!r})")]),
        lambda marker: pickle.dumps([Call(getattr, Call(__import__, "os"), "mkdir")]),
        lambda marker: pickle.dumps([Call(np.fromfile, "/etc/passwd", np.uint8)]),
        lambda marker: pickle.dumps([Call(np.memmap, marker, "u1", "w+", 0, (8,))]),
        lambda marker: b"\x80\x02ccopyreg\n_reconstructor\n(cos\n_wrap_close\ncbuiltins\nobject\nNtR.",
        lambda marker: b"\x80\x02cnumpy\ndtype\n(X\x02\0\0\0O8tR}X\x05\0\0\0shapeK\x01sb.",
        lambda marker: b"(S'" + marker.encode() + b"'\nios\nmkdir\n.",
        lambda marker: b"\x80\x04\x8c\x05posix\x8c\x05mkdir\x93\x8c" + bytes([len(marker)]) + marker.encode() + b"\x85R.",
        lambda marker: b"\x80\x02\x82\x01.",
        lambda marker: b"\x80\x02P0\n.",
    ],
    ids=["os", "eval", "getattr", "fromfile", "memmap", "copyreg", "state", "INST", "STACK_GLOBAL", "EXT1", "PERSID"],
)
def test_a_gadget_in_an_npz_is_refused_and_runs_nothing(tmp_path, pickled):
    marker = tmp_path / "executed"
    path = write_npz(tmp_path / "hostile" / "r.npz", x_test=member(pickled(str(marker)), 1))
    with pytest.raises(DataError, match=r"r\.npz was not loaded, for it .*; nothing in it was executed$") as caught:
        ingest(path, tmp_path)
    assert "\n" not in str(caught.value)
    assert not marker.exists()
    ingest(write_npz(tmp_path / "sound" / "r.npz"), tmp_path)


@pytest.mark.fault(NPZ)
@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"../../evil": b"x"}, r"its member '\.\./\.\./evil\.npy' names a place outside it"),
        ({"/etc/evil": b"x"}, r"its member '/etc/evil\.npy' names a place outside it"),
        ({"..\\evil": b"x"}, "names a place outside it"),
        (
            {"x_train": lists(b"](G" + struct.pack(">d", 1.0) + b"e" + b"](K\x01e")},
            "something else than whole numbers in row 1",
        ),
        (
            {"x_train": lists(b"](J\xff\xff\xff\xffe](K\x01e"), "y_train": TWO},
            "holds rank -1 in row 1; the word index has 1 to 3",
        ),
        (
            {"x_train": lists(b"](\x8a\x0a" + b"\x7f" * 10 + b"e](K\x01e"), "y_train": TWO},
            "holds ranks that are not in the word index",
        ),
        (
            {"y_train": numbers({"descr": "<f8", "shape": (12,)}, np.full(12, np.nan).tobytes())},
            "'y_train' has no label in rows 1,",
        ),
        ({"y_train": numbers({"descr": "<i8", "shape": (11,)}, bytes(88))}, "y_train is no array of 12 labels"),
        (
            {"y_train": numbers({"descr": "<i8", "shape": (12,)}, bytes(95))},
            r"is said to be of int64 and shape \(12,\), and has 95",
        ),
        (
            {"y_train": numbers({"descr": "<c8", "shape": (12,)}, bytes(96))},
            "y_train is an array of complex64, which cannot be",
        ),
        ({"y_train": lists(b"](K\x01e](K\x01K\x02e")}, "y_train is no array of 12 labels"),
    ],
)
def test_a_member_of_an_npz_at_fault_is_named(tmp_path, members, told):
    with pytest.raises(DataError, match=told) as caught:
        ingest(write_npz(tmp_path / "hostile" / "r.npz", **members), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.fault(NPZ)
@pytest.mark.parametrize("size", [0, 100, (1 << 31) - 1, (1 << 32) - 1])
def test_a_zip_that_lies_about_a_size_is_refused(tmp_path, size):
    path = write_npz(tmp_path / "hostile" / "r.npz", x_train=member(b"\x80\x04](" + b"K\x01" * 5_000_000 + b"e."))
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, size)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"r\.npz (is no readable npz file|unzips to [\d,]+ bytes, and at most)"):
        ingest(path, tmp_path)


ROWS = [(f"text {number}", number % 2) for number in range(20)]


def table(kind, *changed, rows=ROWS):
    """Return a table of 20 rows, of which some, by their numbers from 1 on, are others."""
    rows = [dict(changed).get(number, row) for number, row in enumerate(rows, start=1)]
    return encode_table(rows, kind)


FOUR = ("csv", "tsv", "jsonl", "parquet")
THREE = FOUR[:3]
NEITHER = "in row 3, which is in neither data.negative_labels"
LONG = "w " * 4_400_000


@pytest.mark.fault(TABLE)
@pytest.mark.parametrize(
    ("kind", "content", "told"),
    [
        *(
            (kind, table(kind).replace(b"text 2", b"text \xe9"), rf"f\.{kind} is not UTF-8: line \d holds the byte 0xe9")
            for kind in THREE
        ),
        ("parquet", pa.array([b"\xe9"] * 20).view(pa.string()), "cannot be read: Column 0.*[Ii]nvalid UTF8"),
        *(
            (kind, table(kind).decode().encode("utf-16"), rf"f\.{kind} is not UTF-8: line 1 holds the byte 0xff")
            for kind in THREE
        ),
        ("jsonl", table("jsonl").replace(b"text 2", b"text\0 "), "line 3 is not JSON .*control character"),
        *(
            (kind, table(kind).replace(b"label", b"label\0", 1), r"has no column 'label'; its columns are 'text', 'label.x00'")
            for kind in ("csv", "tsv")
        ),
        *(
            (
                kind,
                table(kind).replace(b'"', b"").replace(b"text 2", b'"text 2'),
                "row 3 has 1 columns and not 2, or a quotation mark is never closed",
            )
            for kind in ("csv", "tsv")
        ),
        *(
            (kind, table(kind) + b'"text,1', "row 21 has 1 columns and not 2, or a quotation mark is never closed")
            for kind in ("csv", "tsv")
        ),
        *(
            (
                kind,
                table(kind, (3, (LONG, 0))),
                "row 3 is longer than 8 MiB|after row 2 is longer|line 3 is longer|text of 8,800,000 bytes",
            )
            for kind in FOUR
        ),
        *((kind, table(kind).replace(b"label", b"text", 1), "has 2 columns named 'text'") for kind in ("csv", "tsv")),
        ("jsonl", table("jsonl").replace(b'"id"', b'"text"', 1), "line 1 has the key 'text' twice"),
        ("jsonl", table("jsonl", (3, ("a", '"0"'))), f"column 'label' holds '\"0\"' {NEITHER}"),
        *((kind, table(kind, (3, ("a", '"""0"""'))), f"column 'label' holds '\"0\"' {NEITHER}") for kind in ("csv", "tsv")),
        *((kind, table(kind, (3, ("a", " pos "))), f"column 'label' holds ' pos ' {NEITHER}") for kind in THREE),
        *((kind, table(kind, (3, ("a", 2))), f"column 'label' holds '?2'? {NEITHER}") for kind in FOUR),
        *((kind, table(kind, (3, ("a", 1.0))), f"column 'label' holds '1.0' {NEITHER}") for kind in THREE),
        *((kind, table(kind, (3, ("a", True))), f"column 'label' holds 'True' {NEITHER}") for kind in THREE),
        *((kind, table(kind, (3, ("a", "9" * 3000))), f"column 'label' holds '9{{199}} ... {NEITHER}") for kind in THREE),
        *((kind, table(kind, (3, ("a", None))), "column 'label' has no label in row 3") for kind in FOUR),
        *((kind, table(kind, (3, ("a", ""))), "column 'label' has no label in row 3") for kind in THREE),
        ("jsonl", table("jsonl", (3, ("a", "\ud800"))), rf"column 'label' holds '..ud800' {NEITHER}"),
        *((kind, table(kind, rows=[]), "has no rows|has no column 'text'|is empty|holds null") for kind in FOUR),
        *((kind, b"", "is empty") for kind in FOUR),
        *((kind, b" \n\n", "is empty") for kind in THREE),
        *((kind, b"<!doctype html><p>Log in", "has no column 'text'|line 1 is not JSON|cannot be read") for kind in FOUR),
    ],
)
@pytest.mark.parametrize("gz", ["", ".gz"])
def test_a_table_at_fault_is_told_with_row_and_column(tmp_path, kind, content, told, gz):
    if not isinstance(content, bytes):
        stream = io.BytesIO()
        pq.write_table(pa.table({"text": content, "label": [0, 1] * 10}), stream)
        content = stream.getvalue()
    path = tmp_path / f"f.{kind}{gz}"
    path.write_bytes(gzip.compress(content, 1) if gz else content)
    with pytest.raises(DataError, match=told.replace(rf"f\.{kind}", rf"f\.{kind}{gz}")) as caught:
        ingest(path, tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700
    assert not (tmp_path / "reviews.parquet").exists() or not pq.ParquetFile(tmp_path / "reviews.parquet").metadata.num_rows


@pytest.mark.fault(TABLE)
@pytest.mark.parametrize("kind", ["csv", "tsv", "csv.gz"])
def test_a_byte_order_mark_is_skipped_and_nul_is_a_character(tmp_path, kind):
    content = b"\xef\xbb\xbf" + table(kind.removesuffix(".gz"), (3, ("text\0 ", 0)))
    path = tmp_path / f"f.{kind}"
    path.write_bytes(gzip.compress(content) if kind.endswith(".gz") else content)
    ingest(path, tmp_path)
    assert "text\0 " in pq.read_table(tmp_path / "reviews.parquet")["text"].to_pylist()


@pytest.mark.fault(TABLE)
@pytest.mark.parametrize("kind", FOUR)
def test_a_label_of_the_lists_is_taken_to_the_letter(tmp_path, kind):
    path = tmp_path / f"f.{kind}"
    path.write_bytes(table(kind) if kind == "parquet" else table(kind, (1, ("a", "0")), (2, ("b", "pos"))))
    ingest(path, tmp_path)
    assert pq.read_table(tmp_path / "reviews.parquet")["label"].to_pylist() == [0, 1] * 10
