import pytest

from configs.loading import check_config
from tasks.errors import DataError
from tasks.handles import Reviews
from tasks.registration.reproduction import NOTHING, Recipe, compare, data_difference

TAGS = {
    "dataset.source": "reviews.csv",
    "dataset.sha256": "d1",
    "dataset.source_sha256": "s1",
    "code.sha256": "c1",
    "mlflow.source.git.commit": "abc",
    "git.dirty": "false",
    "package.tensorflow": "2.21.0",
    "package.numpy": "2.4.6",
    "python": "3.11.7",
    "cpu.features": "X86_V3",
    "cpu.cores": "2",
}


def recipe(*, deterministic=True, **tags):
    config = check_config({"data": {"source": "sample"}, "training": {"deterministic": deterministic}}, "test")
    return Recipe("films-lstm", "3", "w1", config, {**TAGS, **tags})


def reviews(sha256, source_sha256):
    return Reviews(
        path="", sha256=sha256, dataset="films", source="", source_sha256=source_sha256, rows={}, has_vocabulary=False
    )


def test_the_same_weights_are_identical_whatever_else_differs():
    result = compare(recipe(), "w1", TAGS)
    assert (result.identical, result.differs, result.circumstances) == (True, None, ())
    result = compare(recipe(), "w1", {**TAGS, "package.numpy": "2.5.0"})
    assert (result.identical, result.differs, result.circumstances) == (True, None, ("package numpy: 2.4.6 -> 2.5.0",))


def test_other_weights_are_put_down_to_the_first_suspect():
    now = dict(TAGS)
    suspects = [
        ("cpu.cores", "4", "CPU cores: 2 -> 4"),
        ("cpu.features", "X86_V4", "CPU features: X86_V3 -> X86_V4"),
        ("python", "3.11.9", "Python: 3.11.7 -> 3.11.9"),
        ("package.numpy", "2.5.0", "package numpy: 2.4.6 -> 2.5.0"),
        ("package.tensorflow", "2.22.0", "package tensorflow: 2.21.0 -> 2.22.0"),
        (
            *("code.sha256", "c2"),
            "code: commit abc -> commit abc: git checkout abc && make setup && reprise reproduce 3 --model films-lstm",
        ),
    ]
    for count, (name, value, sentence) in enumerate(suspects, start=1):
        now[name] = value
        result = compare(recipe(), "w2", now)
        assert (result.identical, result.differs, len(result.circumstances)) == (False, sentence, count)
    untrained = compare(recipe(), None, now, data="data: other")
    assert (untrained.identical, untrained.differs, len(untrained.circumstances)) == (False, "data: other", 7)


def test_where_nothing_differs_other_weights_stay_without_a_cause():
    assert compare(recipe(), "w2", TAGS).differs == NOTHING
    assert "deterministic is false" in compare(recipe(deterministic=False), "w2", TAGS).differs


def test_a_commit_that_left_the_code_as_it_was_is_no_difference():
    assert compare(recipe(), "w2", {**TAGS, "mlflow.source.git.commit": "def"}).differs == NOTHING


def test_changes_that_were_not_committed_are_told():
    now = {**TAGS, "code.sha256": "c2"}
    assert compare(recipe(**{"git.dirty": "true"}), "w2", now).differs.startswith(
        "code: commit abc with uncommitted changes -> commit abc: git checkout abc "
    )


def test_what_was_not_recorded_is_not_compared():
    old = Recipe(*recipe()[:4], {"mlflow.source.git.commit": "abc"})
    assert compare(old, "w2", {**TAGS, "package.keras": "3"}).differs == NOTHING
    assert compare(old, "w2", {**TAGS, "mlflow.source.git.commit": "def"}).differs.startswith("code: commit abc -> commit def")
    without_git = recipe()
    del without_git.tags["mlflow.source.git.commit"]
    assert compare(without_git, "w2", {"code.sha256": "c2"}).differs == (
        "code: sha256 c1, of no known commit -> sha256 c2, of no known commit"
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (reviews("d1", "s1"), None),
        (reviews("d2", "s1"), None),  # the same bytes, written otherwise by another pyarrow
        (reviews("d1", "s2"), None),  # another file with the same reviews
        (reviews("d2", "s2"), "data: reviews.csv sha256 d1 -> d2"),
        (DataError("no such file: reviews.csv"), "data: reviews.csv was sha256 d1 and gives no reviews now: no such file"),
    ],
)
def test_data_differ_where_neither_the_reviews_nor_their_source_are_what_they_were(found, words):
    difference = data_difference(recipe(), found)
    assert difference == words or difference.startswith(words)


def test_a_version_without_a_source_digest_is_judged_by_its_reviews():
    old = recipe()
    del old.tags["dataset.source_sha256"]
    assert data_difference(old, reviews("d1", "s1")) is None
    assert data_difference(old, reviews("d2", "s1")) == "data: reviews.csv sha256 d1 -> d2"
