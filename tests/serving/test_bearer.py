import os

import pytest

from tasks.errors import InputError
from tasks.serving.bearer import VARIABLE, has_token, take_token

TOKEN = "a-token-of-24-characters"  # noqa: S105


def test_it_comes_from_the_environment_which_forgets_it(monkeypatch):
    monkeypatch.setenv(VARIABLE, TOKEN)
    assert take_token(None) == TOKEN
    assert VARIABLE not in os.environ
    assert take_token(None) is None


def test_it_comes_from_a_file(tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert take_token(tmp_path / "token") == TOKEN


def test_one_place_is_enough(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, TOKEN)
    with pytest.raises(InputError, match="both given"):
        take_token(tmp_path / "token")


@pytest.mark.parametrize("content", ["", "short", "a token with spaces in it", "ein-Schlüssel-mit-Umlaut"])
def test_what_can_be_no_token_is_refused_and_not_repeated(tmp_path, monkeypatch, content):
    (tmp_path / "token").write_text(content)
    with pytest.raises(InputError, match="holds no token: 16 or more") as caught:
        take_token(tmp_path / "token")
    assert not content or content not in str(caught.value)
    monkeypatch.setenv(VARIABLE, content)
    with pytest.raises(InputError, match="holds no token"):
        take_token(None)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="token: No such file"):
        take_token(tmp_path / "token")


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Bearer  {TOKEN} "])
def test_who_has_it_may(header):
    assert has_token(header, TOKEN)


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", "Bearer é"]
)
def test_who_has_it_not_may_not(header):
    assert not has_token(header, TOKEN)
