import hashlib
from collections import Counter

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from tasks.ingestion.sample import GENERATOR_VERSION, generate_sample
from tests.ingestion.conftest import table_of


@pytest.fixture(scope="module")
def sample():
    return table_of(generate_sample()).to_pandas()


def test_half_is_positive_in_each_split(sample):
    assert Counter(zip(sample["split"], sample["label"], strict=True)) == {
        ("train", 0): 1600,
        ("train", 1): 1600,
        ("test", 0): 400,
        ("test", 1): 400,
    }


def test_no_text_stands_twice_and_all_are_short_reviews(sample):
    assert sample["text"].is_unique
    words = sample["text"].str.split().str.len()
    assert words.between(10, 60).all()
    assert 25 < words.mean() < 45


def test_it_is_prose(sample):
    assert sample["text"].str.fullmatch(r"(?:[A-Z][^.;{}]*(?:; [^.{}]*)?\.)(?: [A-Z][^.;{}]*(?:; [^.{}]*)?\.)*").all()
    assert not sample["text"].str.contains(r"\ba [aeiou]|  ", regex=True).any()


def test_some_words_are_rare_and_most_are_not(sample):
    counts = Counter(word for text in sample.loc[sample["split"] == "train", "text"] for word in text.lower().split())
    assert 500 < len(counts) < 2000
    assert sum(count < 20 for count in counts.values()) > 50


def test_it_is_the_same_corpus_as_when_its_version_was_last_raised(sample):
    """Where this fails after a change of the generator, raise GENERATOR_VERSION with the digest."""
    digest = hashlib.sha256()
    for text, label in zip(sample["text"], sample["label"], strict=True):
        digest.update(f"{label}\t{text}\n".encode())
    assert (GENERATOR_VERSION, digest.hexdigest()) == ("1", "ac09813a962a57158df3a0edc9f772030d44ecea4150c5777b693d67c0ab8226")


@pytest.mark.parametrize("words", [1, 2])
@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0])
def test_a_linear_model_learns_it_but_not_to_the_end(sample, words, strength):
    train, test = sample[sample["split"] == "train"], sample[sample["split"] == "test"]
    vectorizer = CountVectorizer(ngram_range=(1, words))
    model = LogisticRegression(C=strength, max_iter=2000).fit(vectorizer.fit_transform(train["text"]), train["label"])
    assert 0.80 < model.score(vectorizer.transform(test["text"]), test["label"]) < 0.97
