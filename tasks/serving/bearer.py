"""The bearer token that a server may ask for: where it comes from, and whether a request has it."""

import hmac
import os
import re
from pathlib import Path

from tasks.errors import InputError

VARIABLE = "REPRISE_SERVE_TOKEN"
FEWEST_CHARACTERS = 16


def take_token(path: Path | None) -> str | None:
    """Return the token in a file, or in the environment, from which it is removed; None where there is none.

    Raises:
        InputError: both are given, the file cannot be read, or what is there can be no token.
    """
    given = os.environ.pop(VARIABLE, None)
    if path is None:
        return None if given is None else _check(given, VARIABLE)
    if given is not None:
        raise InputError(f"{VARIABLE} and --token-file are both given: give one of them")
    try:
        return _check(path.read_text(encoding="ascii").strip(), f"--token-file {path}")
    except OSError as error:
        raise InputError(f"--token-file {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise InputError(f"--token-file {path} holds no token: {_RULE}") from None


_RULE = f"{FEWEST_CHARACTERS} or more letters, digits, and any of - . _ ~ + / =; `openssl rand -hex 24` makes a good one"


def _check(token: str, place: str) -> str:
    # RFC 6750, 2.1
    if not re.fullmatch(rf"[A-Za-z0-9\-._~+/=]{{{FEWEST_CHARACTERS},}}", token):
        raise InputError(f"{place} holds no token: {_RULE}")
    return token


def has_token(authorization: str | None, token: str) -> bool:
    """Tell whether an Authorization header has the token, in a time that does not depend on how much of it is right."""
    scheme, _, given = (authorization or "").partition(" ")
    return hmac.compare_digest(given.strip().encode(), token.encode()) and scheme.lower() == "bearer"
