"""What a version was trained on, as its run in a real MLflow store keeps it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.loading import check_config, override, read_config
from tasks.errors import ModelMismatch
from tasks.handles import GateRows
from tasks.mlflow_store import connect
from tasks.registration.training_texts import log_training_texts, read_training_texts
from tasks.registration.versions import create_version, find_version
from tasks.text_digests import digest_texts
from tasks.tracking import training_run

DIGESTS = digest_texts(pa.array(["a good film", "a bad film"])).cast(pa.binary(16))


def gate_rows(folder, digests):
    folder.mkdir()
    pq.write_table(pa.table({"digest": digests}), folder / "training.parquet")
    return GateRows(path=str(folder), sha256="0" * 64, rows=0, audit_rows=0)


@pytest.fixture
def version(embedded_mlflow, tmp_path):
    """A version that tells what it was trained on, without a model."""
    config = check_config(override(read_config("sample"), ["tracking.system_metrics=false"]), "test")
    rows = gate_rows(tmp_path / "then", DIGESTS)
    with training_run(config, name="texts", tags={}) as run:
        tags = log_training_texts(run, rows)
        created = create_version("texts", run, model_id=None, model_uri="s3://none/none", weights_sha256="", tags=tags)
    rows.file("training.parquet").unlink()
    return find_version("texts", created.version)


def artifact(version):
    folder = connect().get_run(version.summary.run_id).info.artifact_uri.removeprefix("file://")
    return Path(folder) / "data" / "training.parquet"


def test_it_is_read_from_the_run_whatever_is_at_hand(version, tmp_path):
    other = gate_rows(tmp_path / "now", DIGESTS[:1])
    assert read_training_texts(version).equals(DIGESTS)
    assert read_training_texts(version, other).equals(DIGESTS)


def test_a_record_that_is_changed_or_gone_is_told(version):
    with artifact(version).open("ab") as file:
        file.write(b" ")
    with pytest.raises(
        ModelMismatch, match=r"version 1 of texts: data/training\.parquet of run \w+ is not what was registered"
    ):
        read_training_texts(version)
    artifact(version).unlink()
    with pytest.raises(ModelMismatch, match=r"version 1 of texts: data/training\.parquet of run \w+, .* is gone"):
        read_training_texts(version)


def test_the_same_digests_at_hand_are_not_fetched(version, tmp_path):
    at_hand = gate_rows(tmp_path / "now", DIGESTS)
    connect().delete_run(version.summary.run_id)
    assert read_training_texts(version, at_hand).equals(DIGESTS)


def test_a_version_that_does_not_tell_is_refused(version):
    silent = version._replace(tags={})
    with pytest.raises(ModelMismatch, match="texts version 1 does not tell which texts it was trained on: train it again"):
        read_training_texts(silent)
