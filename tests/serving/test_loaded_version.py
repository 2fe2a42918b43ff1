"""A version in memory: apart from others there, and gone once nobody holds it."""

import gc
import sys
import weakref

import pytest

from tasks.errors import GateClosed, InputError, ModelMismatch
from tasks.mlflow_store import connect
from tasks.registration import promotion
from tasks.registration.loaded_version import load_version, pin_followed
from tasks.registration.scoring import score_texts
from tasks.registration.versions import find_version
from tests.registration.small_model import NAME, TEXTS, WORDS

REVIEWS = [one for one in TEXTS if one]


def scores(loaded):
    return [one.probability for one in loaded.predict(REVIEWS)]


def test_versions_beside_one_another_keep_their_own_code_and_scores(add_version):
    versions = "1", add_version(2).version, add_version(2, longest_ngram=2).version
    before = set(sys.modules)
    loaded = {version: load_version(pin_followed(NAME, version)) for version in versions}
    assert not [name for name in set(sys.modules) - before if name.startswith("code_model_")]
    for version, one in loaded.items():
        assert scores(one) == [each["probability"] for each in score_texts(find_version(NAME, version).summary, REVIEWS)]
        assert one.known_words == set(WORDS)
        assert one.weights_sha256 == find_version(NAME, version).tags["weights_sha256"]
    assert len({tuple(scores(one)) for one in loaded.values()}) == 3
    assert len({type(one.predict(["a"])[0]) for one in loaded.values()}) == 3


def networks():
    kinds = ("TrimmedNetwork", "TrimmedNgramNetwork")
    return {id(one): weakref.ref(one) for one in gc.get_objects() if type(one).__name__ in kinds}


@pytest.mark.parametrize("longest_ngram", [0, 2])
def test_it_is_let_go(add_version, longest_ngram):
    version = add_version(6, longest_ngram).version
    before = networks()
    loaded = load_version(pin_followed(NAME, version))
    mine = [held for key, held in networks().items() if key not in before]
    assert len(mine) == 1
    loaded = load_version(pin_followed(NAME, version))  # of which MLflow itself holds the last one
    gc.collect()
    assert mine[0]() is None
    assert scores(loaded)


def test_the_champion_is_who_ledger_and_alias_both_say(add_version, monkeypatch):
    monkeypatch.setattr("tasks.registration.loaded_version.SECOND_LOOK_SECONDS", 0.01)
    assert pin_followed(NAME, "champion").version == "1"
    connect().set_registered_model_alias(NAME, "champion", add_version(3).version)
    with pytest.raises(GateClosed, match="was moved by hand"):
        pin_followed(NAME, "champion")
    connect().delete_registered_model_alias(NAME, "champion")
    with pytest.raises(GateClosed, match="was removed by hand"):
        pin_followed(NAME, "champion")
    connect().set_registered_model_alias(NAME, "champion", "1")
    assert pin_followed(NAME, "champion").version == "1"


def test_an_alias_that_is_moved_right_after_it_was_checked_is_not_followed(add_version, monkeypatch):
    other = add_version(5).version

    def find_and_move(name):
        found = promotion.find_disagreement(name)
        connect().set_registered_model_alias(NAME, "champion", other)
        return found

    monkeypatch.setattr("tasks.registration.loaded_version.find_disagreement", find_and_move)
    try:
        assert pin_followed(NAME, "champion").version == "1"
    finally:
        connect().set_registered_model_alias(NAME, "champion", "1")


def test_another_alias_is_who_it_says(add_version):
    version = add_version(4).version
    assert pin_followed(NAME, "challenger").version == version
    with pytest.raises(InputError, match="no version or alias 'nobody'"):
        pin_followed(NAME, "nobody")


def test_what_was_pinned_with_other_files_is_not_loaded():
    pinned = pin_followed(NAME, "1").model_copy(update={"files_sha256": "0" * 64})
    with pytest.raises(ModelMismatch, match="other files"):
        load_version(pinned)
