"""What a user is told, whatever stands in it: one line, of bounded length, without credentials."""

import re
import reprlib

MOST_CHARACTERS = 400
CREDENTIALS = (
    (r"((?:postgres|mysql|mssql|oracle)[a-z0-9+_]*://)[^\s'\"]*@", r"\1"),  # whose passwords may hold a slash
    (r"://[^/\s]*@", "://"),
    (r"(https?://[^?#\s]*)\?[^#\s'\"]*", r"\1"),
)

_shortened = reprlib.Repr()
_shortened.maxlevel, _shortened.maxstring, _shortened.maxother = 2, 80, 80


def one_line(text: str) -> str:
    """Return a text as one line of printable characters, cut where it is long, without the credentials of its URLs."""
    line = "".join(character if character.isprintable() else " " for character in without_credentials(text))
    line = " ".join(line.split())
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1]}…"


def shown_value(value: object) -> str:
    """Return a value as Python would write it, with what is long left out; of a URL, its host alone.

    A value is shown where it is wrong, and a webhook's whole path may be its password.
    """
    return re.sub(r"(://[^/?#\s'\"]*)[/?#][^\s'\"]*", r"\1/…", without_credentials(_shortened.repr(value)))


def without_credentials(text: str) -> str:
    """Return a text without user, password and query (it may be signed) of the URLs in it, wherever they stand."""
    for pattern, kept in CREDENTIALS:
        text = re.sub(pattern, kept, text)
    return text
