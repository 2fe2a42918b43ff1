"""What is served while the registry changes, fails, and names versions that cannot be."""

from datetime import UTC, datetime

import pytest

from tasks.errors import GateClosed, ModelMismatch, RegistryError
from tasks.registration.loaded_version import LoadedVersion
from tasks.registration.scoring import PinnedVersion
from tasks.serving.following import Follower, NotReady


class Registry:
    """Says which version should be served, or raises; some versions cannot be loaded."""

    def __init__(self):
        self.now, self.error, self.bad, self.loads, self.told = "1", None, {}, [], []

    def find(self):
        if self.error is not None:
            raise self.error
        return PinnedVersion(name="model", version=self.now, files_sha256=self.now)

    def load(self, pinned):
        self.loads.append(pinned.version)
        if pinned.version in self.bad:
            raise self.bad[pinned.version]
        return LoadedVersion(pinned, "weights", frozenset(), datetime.now(UTC), lambda texts: [pinned.version] * len(texts))


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def follower(registry):
    """One that serves version 1."""
    follower = Follower(
        registry.find,
        registry.load,
        poll_seconds=60,
        tell_swap=lambda loaded: registry.told.append(loaded.pinned.version),
        tell_trouble=lambda trouble: registry.told.append(trouble and trouble.reason),
    )
    with pytest.raises(NotReady):
        follower.score(["a"])
    follower.look()
    assert follower.score(["a"]).predictions == ["1"]
    return follower


def test_a_new_version_is_served_and_an_old_one_again(follower, registry):
    for version in ("2", "1"):
        registry.now = version
        follower.look()
        scored = follower.score(["a", "b"])
        assert (scored.loaded.pinned.version, scored.predictions) == (version, [version] * 2)
    assert registry.told == ["1", "2", "1"]


def test_one_that_is_served_is_not_loaded_again(follower, registry):
    follower.look()
    assert registry.loads == ["1"]


def test_another_version_under_the_same_number_is_another(follower, registry):
    registry.find = lambda: PinnedVersion(name="model", version="1", files_sha256="other")
    follower._find = registry.find
    follower.look()
    assert follower.loaded.pinned.files_sha256 == "other"


def test_a_bad_version_keeps_the_old_one_and_says_so(follower, registry, caplog):
    registry.now, registry.bad = "2", {"2": ModelMismatch("version 2 of model is not what was registered")}
    follower.look()
    assert follower.score(["a"]).predictions == ["1"]
    assert (follower.trouble.version, follower.trouble.reason) == ("2", "version 2 of model is not what was registered")
    assert caplog.messages == ["version 1 stays: version 2 of model is not what was registered"]
    assert registry.told == ["1", "version 2 of model is not what was registered"]


def test_a_bad_version_is_not_tried_at_each_look_and_a_good_one_at_once(follower, registry):
    registry.now, registry.bad = "2", {"2": ModelMismatch("bad")}
    for _ in range(3):
        follower.look()
    assert registry.loads == ["1", "2"]
    registry.now = "3"
    follower.look()
    assert follower.loaded.pinned.version == "3"
    assert follower.trouble is None
    assert registry.told == ["1", "bad", "3", None]


def test_a_bad_version_is_tried_again_and_served_once_it_is_mended(registry):
    follower = Follower(registry.find, registry.load, poll_seconds=1e-9)
    follower.look()
    registry.now, registry.bad = "2", {"2": ModelMismatch("bad")}
    follower.look()
    registry.bad = {}
    follower.look()
    assert registry.loads == ["1", "2", "2"]
    assert (follower.loaded.pinned.version, follower.trouble) == ("2", None)


@pytest.mark.parametrize("error", [RegistryError("away"), GateClosed("moved by hand"), KeyError("surprise")])
def test_a_registry_in_trouble_keeps_what_is_served(follower, registry, error, caplog):
    registry.error = error
    for _ in range(3):
        follower.look()
    since = follower.trouble.since
    assert follower.score(["a"]).predictions == ["1"]
    assert len(caplog.messages) == 1
    assert len(registry.told) == 4
    registry.error = None
    follower.look()
    assert (follower.trouble, registry.told[-1]) == (None, None)
    assert since.tzinfo is UTC


def test_after_an_outage_a_refused_version_is_told_of_again(follower, registry, caplog):
    registry.now, registry.bad = "2", {"2": ModelMismatch("bad")}
    follower.look()
    refused = follower.trouble
    registry.error = RegistryError("away")
    follower.look()
    registry.error = None
    follower.look()
    assert follower.trouble == refused
    assert caplog.messages == [f"version 1 stays: {reason}" for reason in ("bad", "away", "bad")]
    assert registry.told == ["1", "bad", "away"]  # it was not tried again
    assert registry.loads == ["1", "2"]


def test_in_flight_requests_end_on_the_version_that_they_began_with(follower, registry):
    during = []

    def predict(texts):
        registry.now = "3"
        follower.look()  # a swap while this version scores
        during.append(follower.loaded.pinned.version)
        return texts

    registry.load = lambda pinned: LoadedVersion(pinned, "w", frozenset(), datetime.now(UTC), predict)
    registry.now = "2"
    follower._load = registry.load
    follower.look()
    assert follower.score(["a"]).loaded.pinned.version == "2"
    assert during == ["3"]


def test_without_a_first_version_nothing_begins(registry):
    registry.error = RegistryError("away")
    failures, begun = [], []
    follower = Follower(registry.find, registry.load, poll_seconds=60)
    follower.start(begin=lambda: begun.append(1), fail=failures.append)
    follower._thread.join(10)
    assert (failures, begun, follower.loaded) == ([registry.error], [], None)


def test_where_the_beginning_fails_that_is_told(registry):
    failures, error = [], OSError("no space left")

    def begin():
        raise error

    follower = Follower(registry.find, registry.load, poll_seconds=60)
    follower.start(begin=begin, fail=failures.append)
    follower._thread.join(10)
    assert (failures, follower.alive) == ([error], False)


def test_it_looks_every_so_often_and_ends(registry):
    follower = Follower(registry.find, registry.load, poll_seconds=0.01)
    follower.start(begin=lambda: setattr(registry, "now", "2"), fail=pytest.fail)
    for _ in range(1000):
        if follower.loaded is not None and follower.loaded.pinned.version == "2":
            break
        follower._ended.wait(0.01)
    assert follower.stop()
    assert registry.loads == ["1", "2"]
