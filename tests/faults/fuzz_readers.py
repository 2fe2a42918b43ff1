"""Gives the readers files that are broken in every way: python -m tests.faults.fuzz_readers FOLDER FORMAT --examples 300

The process may take a limited amount of memory and each file a limited time. Every file must be read, or refused by an error of
the product's own in one line. Prints what became of them as JSON. A file that ends the process stays in the folder.
"""

import argparse
import gzip
import io
import json
import os
import pickle
import random
import resource
import shutil
import signal
import time
import zipfile
from collections import Counter
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tasks.errors import RepriseError
from tasks.ingestion.corpus import SCHEMA, write_reviews
from tasks.ingestion.files import locate
from tasks.ingestion.source import data_from_path, read_source, source_digest
from tasks.ingestion.splits import hold_out_validation
from tasks.ingestion.tables import table_extension
from tasks.monitoring.new_reviews import read_new_reviews
from tasks.scoring.reading import open_table

MEMORY = 3 << 30
SECONDS = 60
FORMATS = ("csv", "tsv", "jsonl", "parquet", "csv.gz", "jsonl.gz", "parquet.gz", "npz", "folder")

TEXTS = st.text(max_size=12)
LABELS = st.sampled_from([0, 1, "0", "pos"])
ODD_LABELS = st.sampled_from([0, 1, " pos ", 2, None, 1.0, True, "", float("nan"), 2**70, [1]])
ROWS = st.lists(st.tuples(TEXTS, LABELS), min_size=12, max_size=40) | st.lists(
    st.tuples(TEXTS, LABELS | ODD_LABELS), max_size=20
)
# What is spliced in: what the formats themselves are made of, and numbers at the edges.
PIECES = st.sampled_from(
    [
        *(b"\0", b'"', b'""', b",", b"\t", b"\n", b"\r", b"\r\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80"),
        *(b"{", b"}", b"[", b"]", b"[" * 2000, b"null", b"NaN", b"1e999", b"9" * 5000, b'\\ud800"', b"\\u0000", b'{"text":'),
        *(b"PK\3\4", b"PK\1\2", b"PAR1", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\xff" * 8, b"\x80\x04", b"\x8f" * 50),
        *(b"]" * 50, b"r\xff\xff\xff\x7f", b"j\0\0\0\0", b"h\0", b"2" * 9, b"cos\nsystem\n", b"\x95" + b"\xff" * 8, b"R"),
        *(b"\x8d" + b"\xff" * 8, b"\x96\0\0\0\0\0\1\0\0"),
    ]
)
PLACES = st.integers(0, 1 << 20)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), PLACES, st.integers(0, 7)),
        st.tuples(st.just("cut"), PLACES, st.none()),
        st.tuples(st.just("insert"), PLACES, PIECES | st.binary(max_size=8)),
        st.tuples(st.just("overwrite"), PLACES, PIECES | st.binary(min_size=1, max_size=8)),
        st.tuples(st.just("move"), PLACES, PLACES),
        st.tuples(st.just("drop"), PLACES, st.integers(1, 64)),
    ),
    max_size=5,
)


def change(content, changes):
    """Return bytes that are damaged in the ways drawn."""
    for kind, place, detail in changes:
        at = place % (len(content) + 1)
        if kind == "flip" and at < len(content):
            content = content[:at] + bytes([content[at] ^ (1 << detail)]) + content[at + 1 :]
        elif kind == "cut":
            content = content[:at]
        elif kind == "insert":
            content = content[:at] + detail + content[at:]
        elif kind == "overwrite":
            content = content[:at] + detail + content[at + len(detail) :]
        elif kind == "move":
            other = detail % (len(content) + 1)
            content = content[: max(at, other)] + content[min(at, other) :]
        elif kind == "drop":
            content = content[:at] + content[at + detail :]
    return content


def encode_table(rows, kind):
    """Return a table of texts and labels as a file of a format."""
    if kind == "jsonl":
        return "".join(json.dumps({"text": text, "label": label, "id": 1}) + "\n" for text, label in rows).encode()
    if kind == "parquet":
        labels = [{"0": 0, "pos": 1}.get(label, label) if isinstance(label, str) else label for _, label in rows]
        labels = [label if type(label) is int and label < 3 else None for label in labels]
        stream = io.BytesIO()
        texts = [text.encode(errors="replace").decode() for text, _ in rows]
        table = pa.table({"text": texts, "label": pa.array(labels, pa.int64()), "kept": [[1]] * len(rows)})
        pq.write_table(table, stream, compression=random.choice(["none", "snappy", "zstd"]))  # noqa: S311
        return stream.getvalue()
    delimiter = "\t" if kind == "tsv" else ","
    quoted = ((f'"{text.replace(chr(34), chr(34) * 2)}"', "" if label is None else str(label)) for text, label in rows)
    return "".join(f"{delimiter.join(row)}\n" for row in [("text", "label"), *quoted]).encode(errors="surrogatepass")


class Gadget:
    """What runs code as it is unpickled."""

    def __init__(self, marker):
        """Take the folder that the code makes."""
        self.marker = marker

    def __reduce__(self):
        """Tell pickle what to call."""
        return os.mkdir, (str(self.marker),)


def encode_npz(rows, changes, marker):
    """Return an npz whose members are damaged, but not its checksums; one of its rows may be a gadget."""
    lists = [[1 + len(text) % 5] * (len(text) % 7 + 1) for text, _ in rows]
    if len(rows) % 3 == 1:
        lists[0] = Gadget(marker)
    objects = np.empty(len(lists), dtype=object)
    objects[:] = lists
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, name in enumerate(("x_train", "y_train", "x_test", "y_test")):
            member = io.BytesIO()
            labels = np.array([index % 2 for index in range(len(rows))])
            if name.startswith("x"):
                np.lib.format.write_array_header_1_0(member, {"descr": "|O", "fortran_order": False, "shape": (len(rows),)})
                pickle.dump(objects, member, protocol=2 + len(rows) % 4)
            else:
                np.save(member, labels)
            archive.writestr(
                f"{name}.npy", change(member.getvalue(), changes) if len(changes) % 4 == number else member.getvalue()
            )
    return stream.getvalue()


def write_example(folder, kind, rows, inner, outer, marker):
    """Write a damaged source into an empty folder and return its path."""
    if kind == "folder":
        for part in ("train/pos", "train/neg", "test/pos", "test/neg"):
            (folder / part).mkdir(parents=True)
            for number, (text, _) in enumerate(rows[:5]):
                (folder / part / f"{number}.txt").write_bytes(
                    change(text.encode(errors="surrogatepass"), inner if number % 2 else outer)
                )
        return folder
    path = folder / f"f.{kind}"
    if kind == "npz":
        (folder / "imdb_word_index.json").write_text('{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}')
        content = encode_npz(rows, inner, marker)
    else:
        content = change(encode_table(rows, kind.removesuffix(".gz")), inner)
        content = gzip.compress(content, 1) if kind.endswith(".gz") else content
    # Nearly any change of an npz's own bytes is found by a checksum.
    path.write_bytes(content if kind == "npz" and len(outer) < 3 else change(content, outer))
    return path


def ingest(path, folder):
    """Read a source as a training does."""
    data = data_from_path(str(path))
    source_digest(data)
    with TemporaryFile(dir=folder) as spool:
        corpus = hold_out_validation(read_source(data, spool), data.validation_fraction, data.split_seed)
        write_reviews(corpus, folder / "reviews.parquet")
    table = pq.read_table(folder / "reviews.parquet")
    assert table.schema.equals(SCHEMA)
    assert len(table) == sum(corpus.count_rows().values())
    assert set(table["label"].to_pylist()) <= {0, 1}


def monitor(path, _):
    """Read a source as monitoring does."""
    read_new_reviews(data_from_path(str(path)), 20)


def score(path, _, *, as_lines=False):
    """Read a table as scoring does."""
    with open_table(locate(str(path)), table_extension(path.name), "text", ["error"], as_lines=as_lines) as table:
        for rows in table.batches:
            assert len(rows.texts) == len(rows.faults) == len(rows.kept)
        table.estimate_rows()


def refusal(reader, path, scratch):
    """Return what a reader refuses a file with, or None."""
    try:
        reader(path, scratch)
    except RepriseError as error:
        return str(error)
    return None


def readers_of(kind):
    """Return the functions that read a format."""
    if kind == "npz":
        return [ingest]
    if kind == "folder":
        return [ingest, monitor]
    lines = [lambda path, folder: score(path, folder, as_lines=True)] if kind.startswith("jsonl") else []
    return [ingest, monitor, score, *lines]


def limit_memory():
    """Let this process have so much more than it has already."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


def peak_mib():
    """Return the most memory that this process has had."""
    # Not getrusage, which begins with what the process had that started this one.
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) >> 10


def fuzz(folder, kind, examples):
    """Read so many damaged sources of a format; return what became of them."""
    marker = folder / "executed"
    counts = Counter()
    slowest = 0.0

    def check(rows, inner, outer, arbitrary):
        nonlocal slowest
        source, scratch = folder / "source", folder / "scratch"
        for place in (source, scratch):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
        path = write_example(source, kind, rows, inner, outer, marker)
        if arbitrary is not None and kind != "folder":
            path.write_bytes(arbitrary)
        counts["files"] += 1
        for reader in readers_of(kind):
            begun = time.perf_counter()
            signal.alarm(SECONDS)  # whose default is to end the process
            told = refusal(reader, path, scratch)
            signal.alarm(0)
            counts["read" if told is None else "refused"] += 1
            assert told is None or ("\n" not in told and len(told) < 1500), told
            slowest = max(slowest, time.perf_counter() - begun)
        assert not marker.exists()

    damaged = given(ROWS, CHANGES, CHANGES, st.none() | st.none() | st.none() | st.binary(max_size=300))
    quick = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=examples < 1000,  # the few are the same each time
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        print_blob=False,
    )
    quick(damaged(check))()
    return {**counts, "slowest": round(slowest, 2)}


def main():
    """Fuzz one format, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("formats", nargs="+", choices=FORMATS)
    parser.add_argument("--examples", type=int, default=300)
    arguments = parser.parse_args()
    import tasks.served_model  # noqa: F401 - before memory is limited, for libraries reserve more than they use

    os.environ["REPRISE_HOME"] = str(arguments.folder / "home")
    limit_memory()
    found = {kind: fuzz(arguments.folder, kind, arguments.examples) for kind in arguments.formats}
    print(json.dumps({"formats": found, "peak_mib": peak_mib()}))  # noqa: T201


if __name__ == "__main__":
    main()
