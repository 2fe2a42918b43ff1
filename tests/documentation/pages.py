"""The Markdown pages of the project: their command blocks, headings and links."""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [Path("README.md"), *sorted(path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md"))]
UNTESTED = "notest:"
"""In a block's info string after its language, before the reason why no test runs it."""

_markdown = MarkdownIt("commonmark").enable("table")
_heredoc = re.compile(r"<<'?(?P<end>\w+)'?(?P<rest>[^\n]*)\n.*?\n(?P=end)(?=\n|$)", re.DOTALL)


class Block(NamedTuple):
    """A fenced block of shell commands; `untested` is the reason why no test runs it, or empty."""

    page: Path
    line: int
    section: int
    text: str
    untested: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def read_blocks(page: Path) -> list[Block]:
    """Return the `sh` blocks of a page in their order; sections begin at headings of the second level."""
    blocks, section = [], 0
    for token in _markdown.parse((ROOT / page).read_text(encoding="utf-8")):
        section += token.type == "heading_open" and token.tag == "h2"
        language, _, info = token.info.strip().partition(" ")
        if token.type == "fence" and language == "sh":
            known, mark, reason = info.partition(UNTESTED)
            if known.strip() or (mark and not reason.strip()) or (info and not mark):
                raise ValueError(f"{page}: a block of sh with {info!r}: write `{UNTESTED} REASON` or nothing")
            blocks.append(Block(page, token.map[0] + 1, section, token.content, reason.strip()))
    return blocks


def split_commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each simple command of a block, without comments, redirections and the bodies of here-documents."""
    for line in _heredoc.sub(r"\g<rest>", text).replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set(";&|()"):
                if words:
                    yield words
                words = []
            else:
                words.append(word)


def read_links(page: Path) -> list[str]:
    """Return the targets of a page's links and images."""
    tokens = [child for token in _markdown.parse((ROOT / page).read_text(encoding="utf-8")) for child in token.children or []]
    return [str(token.attrs.get("href") or token.attrs.get("src")) for token in tokens if token.type in ("link_open", "image")]


def read_anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives a page's headings."""
    tokens = _markdown.parse((ROOT / page).read_text(encoding="utf-8"))
    titles = [
        "".join(child.content for child in inline.children or [])
        for heading, inline in pairwise(tokens)
        if heading.type == "heading_open"
    ]
    anchors: set[str] = set()
    for title in titles:
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        later = (f"{anchor}-{number}" for number in range(1, len(titles)))
        anchors.add(anchor if anchor not in anchors else next(one for one in later if one not in anchors))
    return anchors
