"""What the watching and the retraining flow make of reviews that cannot be trained on; the rest is shown on a real server."""

import gzip

import pytest

from flows.retraining import retraining
from flows.watching import watching
from tasks.errors import DataError
from tasks.ingestion.source import source_digest


@pytest.fixture
def look(prefect_api, embedded_mlflow):
    def look(config):
        state = watching(config, settle_seconds=0.1, return_state=True)
        return state.name, state.message

    return look


def test_a_half_written_file_starts_nothing_until_it_is_whole(look, configure, tmp_path, real_slice):
    path = tmp_path / "reviews.csv.gz"
    config = configure(path=path)
    assert look(config) == ("Unreadable", f"No training on {path} for now: no such file: {path}")
    whole = gzip.compress(real_slice.read_bytes())
    path.write_bytes(whole[: len(whole) // 2])
    name, message = look(config)
    assert name == "Unreadable"
    assert f"{path} is no whole gzip file" in message
    assert "\n" not in message
    path.write_bytes(whole)
    assert look(config)[0] == "Data changed"


def test_five_events_for_reviews_that_cannot_be_trained_on_make_one_attempt(
    prefect_api, embedded_mlflow, configure, real_slice
):
    config = configure("data.label_column=stars")
    content = source_digest(config.data)
    with pytest.raises(DataError, match="no column 'stars'"):
        retraining(config, only_new=True, content=content)
    for _ in range(4):
        assert retraining(config, only_new=True, content=content, return_state=True).name == "Nothing new"
    with pytest.raises(DataError, match="no column 'stars'"):  # by hand
        retraining(config)
