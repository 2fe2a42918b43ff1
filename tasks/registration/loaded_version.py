"""A version in the memory of a process that scores with it for long, and the one that an alias means at the moment."""

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from tasks.errors import GateClosed
from tasks.evaluation.scores import check_probabilities
from tasks.registration.ledger import champion_of, read_state
from tasks.registration.model_files import blaming
from tasks.registration.promotion import SECOND_LOOK_SECONDS, find_disagreement
from tasks.registration.scoring import PinnedVersion, load_pinned, pin_version
from tasks.registration.versions import CHAMPION
from tasks.scoring.scores import Predict, Prediction

WARM_TEXTS = ["a", *(" ".join(["the film was not bad at all"] * times) for times in (1, 9, 100))]


class LoadedVersion(NamedTuple):
    """A version that has scored its first texts.

    `predict` raises ModelMismatch where the version's own code fails, or gives no probability; `known_words` are those of its
    vocabulary, in lower case.
    """

    pinned: PinnedVersion
    weights_sha256: str
    known_words: frozenset[str]
    loaded: datetime
    predict: Predict


def pin_followed(model: str, version: str) -> PinnedVersion:
    """Return the version that a number or an alias means now; the champion only where its ledger says the same.

    Raises:
        InputError: there is no such model, version or alias.
        GateClosed: the champion's alias was moved or removed by hand, its version is gone, or its ledger is damaged.
        ModelMismatch: the version has no record of its files.
        RegistryError: MLflow could not be reached, or refused.
    """
    if version == CHAMPION:
        if find_disagreement(model):
            time.sleep(SECOND_LOOK_SECONDS)  # a promotion may be between its entry and its alias
            if trouble := find_disagreement(model):
                raise GateClosed(trouble)
        # By the ledger's number, and not by the alias, which may have been moved since.
        version = champion_of(read_state(model).entries) or version
    return pin_version(model, version)


def load_version(pinned: PinnedVersion) -> LoadedVersion:
    """Return a version from files that were checked, after it has scored texts of several lengths.

    Raises:
        InputError: there is no such version any more.
        GateClosed: the ledger is damaged.
        ModelMismatch: the version's files are not those that were pinned, or gone, cannot be loaded, or give no probabilities.
        RegistryError: MLflow could not be reached, or refused.
    """
    from tasks.training.gradients import forgetting_gradients

    title = f"{pinned.version} of {pinned.name}"
    with forgetting_gradients():
        model = load_pinned(pinned)
        with blaming(title):
            classifier = model.unwrap_python_model()
            # MLflow enters each version's code under a name of its own, for good; who holds the classifier holds it.
            del sys.modules[type(classifier).__module__]
            loaded = LoadedVersion(
                pinned=pinned,
                weights_sha256=model.metadata.metadata["weights_sha256"],
                known_words=frozenset(classifier.encoder.words),
                loaded=datetime.now(UTC),
                predict=_checked(classifier.predict, title),
            )
        for texts in (WARM_TEXTS[:1], WARM_TEXTS):
            loaded.predict(texts)
    return loaded


def _checked(predict: Predict, title: str) -> Predict:
    def checked(texts: list[str]) -> Sequence[Prediction]:
        with blaming(title):
            predictions = predict(texts)
        check_probabilities(np.array([one.probability for one in predictions], np.float64), len(texts))
        return predictions

    return checked
