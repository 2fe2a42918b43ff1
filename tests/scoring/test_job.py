"""From table to table with a model that is a function: what is kept, what is added, what is refused, what outlives a kill."""

import csv
import gzip
import io
import json
import os
from types import SimpleNamespace

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.scoring import ScoringConfig
from tasks.errors import DataError, InputError
from tasks.ingestion import table_formats
from tasks.ingestion.table_formats import EXTENSIONS
from tasks.registration.scoring import PinnedVersion
from tasks.scoring.job import open_job
from tasks.scoring.parts import score_part
from tasks.scoring.window import in_order
from tasks.workspace import home

VERSION = PinnedVersion(name="model", version="3", files_sha256="0" * 64)
TEXTS = ['plain, "quoted"', "two\nlines\r\nand\ttab", "naïve \x85 \u2028 é", "", "NA", "null", "5", "a,\nb", " x "] * 5
ADDED = ["probability", "label", "model_version", "error"]


def predict(texts):
    return [SimpleNamespace(probability=1 / (1 + len(text)), label=len(text) % 2) for text in texts]


class Stopped(Exception):
    """Stands for a kill: nothing is cleaned up that a kill would not clean up."""


def run(source, output, *, stop_after=None, version=VERSION, **keys):
    """Score a table in this process; return what was done and how many parts were scored."""
    scored = []

    def work(part):
        if job.is_done(part):
            return None
        if stop_after is not None and len(scored) == stop_after:
            raise Stopped
        score_part(part, predict)
        scored.append(part.first)
        return SimpleNamespace(result=lambda: None)

    with open_job(ScoringConfig(input=str(source), output=str(output), **keys), version) as job:
        for part in in_order(job, work, at_once=2):
            job.write(part)
    return job.result(), scored


def write(path, frame):
    plain = path.name.removesuffix(".gz").rsplit(".", 1)[1]
    if plain == "parquet":
        content = frame.to_parquet(index=False)
    elif plain == "jsonl":
        content = frame.to_json(orient="records", lines=True, force_ascii=False).encode()
    else:
        content = frame.to_csv(index=False, sep="\t" if plain == "tsv" else ",").encode()
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path


def rows(path):
    """A table's rows as any reader sees them; in CSV and TSV all are strings."""
    content = path.read_bytes()
    content = gzip.decompress(content) if path.name.endswith(".gz") else content
    plain = path.name.removesuffix(".gz").rsplit(".", 1)[1]
    if plain == "parquet":
        return pq.read_table(io.BytesIO(content)).to_pylist()
    if plain == "jsonl":
        return [json.loads(line) for line in content.decode().split("\n") if line]
    delimiter = "\t" if plain == "tsv" else ","
    return list(csv.DictReader(io.StringIO(content.decode(), newline=""), delimiter=delimiter))


def as_strings(row):
    return {key: "" if value is None else str(value) for key, value in row.items()}


def expected():
    for number, text in enumerate(TEXTS):
        (score,) = predict([text])
        fine = bool(text.strip())
        yield {
            "id": number,
            "text": text,
            "stars": f"0{number}",
            "probability": score.probability if fine else None,
            "label": score.label if fine else None,
            "model_version": "model/3",
            "error": None if fine else "the text is blank",
        }


FRAME = pd.DataFrame({"id": range(len(TEXTS)), "text": TEXTS, "stars": [f"0{number}" for number in range(len(TEXTS))]})


@pytest.mark.parametrize("target", EXTENSIONS)
@pytest.mark.parametrize("origin", [".csv", ".tsv.gz", ".jsonl", ".parquet"])
def test_every_format_to_every_format(tmp_path, origin, target):
    output = tmp_path / f"scored{target}"
    result, _ = run(write(tmp_path / f"in{origin}", FRAME), output, rows_per_part=7)
    blank = sum(not text.strip() for text in TEXTS)
    assert (result.rows, result.errors, result.parts, result.output) == (len(TEXTS), blank, 7, str(output))
    found = rows(output)
    assert list(found[0]) == [*FRAME.columns, *ADDED]
    if {origin[1:4], target[1:4]} <= {"par", "jso"}:
        assert found == list(expected())
    else:
        assert [as_strings(row) for row in found] == [as_strings(row) for row in expected()]
    assert list((home() / "stages" / "scoring").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {f"in{origin}", f"scored{target}", "reprise-home"}


@pytest.mark.parametrize("origin", [".csv", ".jsonl.gz", ".parquet"])
def test_the_output_does_not_depend_on_the_size_of_parts_or_blocks(tmp_path, origin, monkeypatch):
    source = write(tmp_path / f"in{origin}", FRAME)
    run(source, tmp_path / "whole.csv")
    monkeypatch.setattr(table_formats, "ROW_BYTES", 300)
    monkeypatch.setattr(table_formats, "PARQUET_ROWS", 4)
    for size in (1, 6, 45, 46):
        run(source, tmp_path / "cut.csv", rows_per_part=size)
        assert (tmp_path / "cut.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_parquet_keeps_its_types_and_its_metadata(tmp_path):
    table = pa.table(
        {
            "text": pa.array(["a", "b", None]).dictionary_encode(),
            "small": pa.array([1, None, 3], pa.int16()),
            "when": pa.array([1, 2, None], pa.timestamp("us", "Europe/Berlin")),
            "price": pa.array(["1.10", "2.20", None]).cast(pa.decimal128(9, 2)),
            "tags": pa.array([["x"], [], None]),
            "more": pa.array([{"a": 1}, None, {"a": 2}]),
            "bytes": pa.array([b"\xff", None, b""]),
            "none": pa.nulls(3),
            "view": pa.array(["x", None, "a view of more than twelve"], pa.string_view()),
        }
    ).replace_schema_metadata({"owner": "somebody"})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=2)
    run(tmp_path / "in.parquet", tmp_path / "out.parquet", rows_per_part=2)
    found = pq.read_table(tmp_path / "out.parquet")
    read = pq.read_table(tmp_path / "in.parquet")
    assert found.drop_columns(ADDED).schema.equals(read.schema)
    assert found.drop_columns(ADDED).to_pylist() == table.to_pylist()
    assert found.schema.metadata[b"owner"] == b"somebody"
    assert found.schema.types[-4:] == [pa.float64(), pa.int8(), pa.string(), pa.string()]
    for target in ("csv", "jsonl"):
        with pytest.raises(DataError, match=r"column '(tags|bytes)' holds .*, which \.(csv|jsonl) cannot hold"):
            run(tmp_path / "in.parquet", tmp_path / f"out.{target}")


def test_csv_keeps_what_is_written(tmp_path):
    body = ["text,id,empty", "good,007,", '"a ""word""",1e5,NA', '"two\r\nlines", 1 ,-0.0']
    (tmp_path / "in.csv").write_bytes("\n".join([*body, ""]).encode())
    run(tmp_path / "in.csv", tmp_path / "out.csv")
    lines = (tmp_path / "out.csv").read_bytes().decode()
    assert lines == (
        f"{body[0]},probability,label,model_version,error\n{body[1]},0.2,0,model/3,\n"
        f"{body[2]},0.1111111111111111,0,model/3,\n{body[3]},0.09090909090909091,0,model/3,\n"
    )


def test_jsonl_keeps_each_object_as_it_is_written(tmp_path):
    lines = [
        b'{"text": "\\u00e9t\xc3\xa9", "n": 1.00, "big": 123456789012345678901234567890, "deep": {"a": [1, {}]}}',
        b'  {"text":5}  ',
        b"{}",
        b'{"other": 1, "text": null}',
        b'{"text": "half \\ud83d"}',
    ]
    (tmp_path / "in.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n\n".join(lines))
    run(tmp_path / "in.jsonl", tmp_path / "out.jsonl", rows_per_part=2)
    found = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert [line.split(b'"probability"')[0].strip() for line in found] == [
        lines[0][:-1] + b",",
        lines[1].strip()[:-1] + b",",
        b"{",
        lines[3][:-1] + b",",
        lines[4][:-1] + b",",
    ]
    assert [json.loads(line)["error"] for line in found] == [
        None,
        "this is no text but int",
        "there is no text",
        "there is no text",
        None,
    ]
    assert json.loads(found[4])["probability"] == predict(["half ?"])[0].probability


def test_jsonl_becomes_columns_of_one_kind_each(tmp_path):
    objects = [
        {"text": "a", "int": 1, "number": 1, "flag": True, "mixed": 1, "deep": {"a": 1}, "big": 2**70},
        {"text": "b", "int": None, "number": 0.5, "late": "x", "mixed": "y", "flag": None, "half": "\ud83d"},
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, objects)))
    run(tmp_path / "in.jsonl", tmp_path / "out.parquet")
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.drop_columns(ADDED).to_pydict() == {
        "text": ["a", "b"],
        "int": [1, None],
        "number": [1.0, 0.5],
        "flag": [True, None],
        "mixed": ["1", "y"],
        "deep": ['{"a": 1}', None],
        "big": [str(2**70), None],
        "late": [None, "x"],
        "half": [None, "?"],
    }


def test_a_table_without_rows_becomes_one(tmp_path):
    (tmp_path / "in.csv").write_text("id,text\n")
    result, _ = run(tmp_path / "in.csv", tmp_path / "out.csv")
    assert (result.rows, result.parts) == (0, 0)
    assert (tmp_path / "out.csv").read_text() == "id,text,probability,label,model_version,error\n"


def test_a_prefix_keeps_names_apart_and_a_text_column_is_named(tmp_path):
    (tmp_path / "in.csv").write_text("label,body\n1,good\n")
    run(tmp_path / "in.csv", tmp_path / "out.csv", prefix="new_", text_column="body")
    assert list(rows(tmp_path / "out.csv")[0]) == ["label", "body", *(f"new_{name}" for name in ADDED)]


@pytest.mark.parametrize(
    ("name", "content", "keys", "message"),
    [
        ("in.csv", "text,label\na,1\n", {}, "in.csv has a column 'label', and scoring adds one of that name"),
        ("in.jsonl", '{"text": "a"}\n{"text": "b", "error": 1}\n', {}, "in.jsonl has a column 'error', and scoring"),
        ("in.csv", "body,id\na,1\n", {}, "in.csv has no column 'text'; its columns are 'body', 'id'$"),
        ("in.jsonl", '{"body": "a", "id": 1}', {}, "in.jsonl has no column 'text'; its columns are 'body', 'id'$"),
        ("in.csv", "text,x,x\na,1,2\n", {}, "in.csv has 2 columns named 'x'"),
        ("in.csv", "text,id\na,1\nb\n", {"rows_per_part": 1}, "in.csv cannot be read: row 2 has 1 columns and not 2"),
        ("in.jsonl", '{"text": "a"}\n{"text": \n', {}, "in.jsonl cannot be read: line 2 is not JSON"),
        ("in.csv", "", {}, "in.csv is empty$"),
        ("in.parquet", "PAR1 not really PAR1", {}, "in.parquet cannot be read: "),
        ("in.txt", "text", {}, "in.txt is no table"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line_and_nothing_is_written(tmp_path, name, content, keys, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message) as refusal:
        run(tmp_path / name, tmp_path / "out.csv", **keys)
    assert "\n" not in str(refusal.value)
    assert {path.name for path in tmp_path.iterdir()} <= {name, "reprise-home"}
    assert list((home() / "stages" / "scoring").glob("*")) == []


def test_texts_that_are_numbers_are_refused(tmp_path):
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "in.parquet")
    with pytest.raises(DataError, match="column 'text' holds int64, not text"):
        run(tmp_path / "in.parquet", tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("in.csv", "in.csv is the input"),
        ("link.csv", "link.csv is the input"),
        ("none/out.csv", "cannot write .*out.csv: there is no .*none"),
        ("folder.csv", "folder.csv is a folder"),
        ("out.xlsx", "out.xlsx is no table"),
        ("http://127.0.0.1:9/out.csv", "there is no|cannot"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_first(tmp_path, output, message):
    (tmp_path / "in.csv").write_text("text\na\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "in.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(Exception, match=message):
        run(tmp_path / "in.csv", output if ":" in output else tmp_path / output)
    assert (tmp_path / "in.csv").read_text() == "text\na\n"


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    source = write(tmp_path / "in.csv", FRAME)
    config = ScoringConfig(input=str(source), output=str(tmp_path / "out.csv"), rows_per_part=10)
    with pytest.raises(DataError, match="was changed while it was read"), open_job(config, VERSION) as job:  # noqa: PT012
        for part in job:
            os.utime(source, (1, 1))
            score_part(part, predict)
    assert not (tmp_path / "out.csv").exists()


def test_an_output_is_replaced_whole_or_stays(tmp_path):
    source = write(tmp_path / "in.csv", FRAME)
    output = tmp_path / "out.csv"
    output.write_text("before")
    with pytest.raises(Stopped):
        run(source, output, rows_per_part=10, stop_after=3)
    assert output.read_text() == "before"
    run(source, output)
    assert len(rows(output)) == len(TEXTS)


@pytest.mark.fault("two at once: trainings, promotions, prune")
def test_two_processes_do_not_write_one_output(tmp_path):
    source = write(tmp_path / "in.csv", FRAME)
    config = ScoringConfig(input=str(source), output=str(tmp_path / "out.csv"))
    with open_job(config, VERSION), pytest.raises(InputError, match=r"another process is writing .*out\.csv"):
        run(source, tmp_path / "out.csv")


def test_what_was_scored_before_a_stop_is_not_scored_again(tmp_path):
    source = write(tmp_path / "in.csv", FRAME)
    with pytest.raises(Stopped):
        run(source, tmp_path / "out.csv", rows_per_part=5, stop_after=4)
    other = VERSION.model_copy(update={"version": "4"})
    assert run(source, tmp_path / "other.csv", rows_per_part=5, version=other)[0].reused_parts == 0
    (kept,) = (home() / "stages" / "scoring").iterdir()
    (kept / "000000000005-5" / "scores.parquet").write_bytes(b"damaged")
    result, scored = run(source, tmp_path / "out.jsonl", rows_per_part=5)
    assert (result.reused_parts, result.parts, scored) == (3, 9, [5, 20, 25, 30, 35, 40])
    assert [row["probability"] for row in rows(tmp_path / "out.jsonl")] == [row["probability"] for row in expected()]
    assert not kept.exists()


def test_a_url_is_written_whole_or_not_at_all(tmp_path):
    source = write(tmp_path / "in.csv", FRAME)
    url = "memory://scoring/deep/out.csv"
    with pytest.raises(Stopped):
        run(source, url, rows_per_part=10, stop_after=2)
    assert not fsspec.filesystem("memory").exists("/scoring/deep/out.csv")
    run(source, url)
    with fsspec.open(url) as file:
        assert len(file.read().decode().split("model/3")) == len(TEXTS) + 1
    run(url.replace("out", "out"), tmp_path / "again.csv", prefix="again_")
    assert rows(tmp_path / "again.csv")[0]["model_version"] == "model/3"


def test_a_bucket_has_the_output_when_it_is_complete_and_no_upload_is_left_open(tmp_path, s3_bucket):
    import boto3

    client, bucket = boto3.client("s3"), s3_bucket.removeprefix("s3://")
    source = write(tmp_path / "in.csv", FRAME)
    with pytest.raises(Stopped):
        run(source, f"{s3_bucket}/new/out.csv", rows_per_part=10, stop_after=3)
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
    run(source, f"{s3_bucket}/new/out.csv")
    body = client.get_object(Bucket=bucket, Key="new/out.csv")["Body"].read()
    assert len(body.split(b"model/3")) == len(TEXTS) + 1
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
    with pytest.raises(InputError, match="there is no bucket none"):
        run(source, "s3://none/out.csv")
    run(f"{s3_bucket}/new/out.csv", tmp_path / "again.parquet", prefix="again_")
    assert pq.read_table(tmp_path / "again.parquet")["model_version"].to_pylist() == ["model/3"] * len(TEXTS)
