"""Print the part of the lock that Reprise needs to run, without its development packages and extras.

    runtime_requirements.py pyproject.toml requirements.lock

uv says below each package which others want it (`# via`): kept is what leads to a dependency of pyproject.toml.
"""

import re
import sys
import tomllib
from pathlib import Path


def runtime_requirements(pyproject: str, lock: str) -> list[str]:
    """Return the blocks of the lock, one for a version, of the packages that Reprise needs to run."""
    blocks = re.split(r"\n(?=\S)", lock.strip())
    wanted_by: dict[str, set[str]] = {}
    for block in blocks:  # a package may have several, each with a version for other Pythons
        wanting = re.findall(r"^[ #]*([a-z0-9][\w.-]*)", block.partition("# via")[2], re.MULTILINE)
        wanted_by.setdefault(_name(block), set()).update(wanting)
    kept = {_name(dependency) for dependency in tomllib.loads(pyproject)["project"]["dependencies"]}
    while more := {name for name, wanting in wanted_by.items() if wanting & kept} - kept:
        kept |= more
    return [block for block in blocks if _name(block) in kept]


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    if found is None:
        raise ValueError(f"no requirement: {requirement[:80]!r}")
    return found[0].lower()


if __name__ == "__main__":
    pyproject, lock = (Path(argument).read_text(encoding="utf-8") for argument in sys.argv[1:])
    sys.stdout.write("\n".join(runtime_requirements(pyproject, lock)) + "\n")
