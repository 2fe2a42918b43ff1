"""The interpreter that has the packages which a model pins."""

import hashlib
import importlib.metadata
import logging
import os
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from filelock import FileLock
from packaging.requirements import InvalidRequirement, Requirement

from configs.one_line import shown_value
from tasks.disk_space import writing
from tasks.errors import ModelMismatch
from tasks.workspace import home

logger = logging.getLogger("reprise.registration")

INSTALLING_SECONDS = 1800


def python_for(requirements: Path) -> Path:
    """Return an interpreter that has what a `requirements.txt` asks for.

    It is this process's own where all of it is installed here, else that of an environment which is made once for each such
    file and Python, and kept in the workspace.

    Raises:
        ModelMismatch: there is no such file, or what it asks for could not be installed.
    """
    try:
        text = requirements.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ModelMismatch(f"the model pins no packages: it has no {requirements.name}") from None
    if unmet(text) is None:
        return Path(sys.executable)
    _require_plain(text)
    key = hashlib.sha256(f"{platform.python_version()}\n{text}".encode()).hexdigest()
    area = home() / "environments"
    area.mkdir(parents=True, exist_ok=True)
    folder, draft = area / key, area / f".{key}"
    with FileLock(area / f".{key}.lock"):
        if not folder.exists():
            logger.info("the model pins %s, which is not what is installed: its own packages are now", unmet(text))
            shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed
            with writing(folder, "the packages of the model in", draft=draft):
                _install(draft, requirements)
                os.sync()  # nothing checks these thousands of files before they are used
            draft.rename(folder)
    return folder / "bin" / "python"


def _require_plain(requirements: str) -> None:
    """See that pip is asked for packages of its own index alone: an option or an address would have it run anybody's code."""
    for line in requirements.splitlines():
        wanted = line.split("#", 1)[0].strip()
        try:
            plain = not wanted or Requirement(wanted).url is None
        except InvalidRequirement:
            plain = False
        if not plain:
            raise ModelMismatch(f"what the model pins is not installed: {shown_value(wanted)} is no package with a version")


def unmet(requirements: str) -> str | None:
    """Return the first line of a `requirements.txt` that is not known to hold in this process, or None if all hold."""
    for line in requirements.splitlines():
        wanted = line.split("#", 1)[0].strip()
        if wanted and not _is_met(wanted):
            return wanted
    return None


def _is_met(wanted: str) -> bool:
    try:
        requirement = Requirement(wanted)
        if requirement.marker is not None and not requirement.marker.evaluate():
            return True
        installed = importlib.metadata.version(requirement.name)
    except (InvalidRequirement, importlib.metadata.PackageNotFoundError):  # an option of pip's, or a package that is not here
        return False
    return requirement.url is None and requirement.specifier.contains(installed, prereleases=True)


def _install(folder: Path, requirements: Path) -> None:
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    command = [str(python), "-I", "-m", "pip", "install", "--quiet", "--requirement", str(requirements)]
    try:
        installation = subprocess.run(  # noqa: S603 (the environment's own interpreter)
            command, capture_output=True, text=True, timeout=INSTALLING_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ModelMismatch(f"what the model pins was not installed within {INSTALLING_SECONDS:,} s") from None
    if installation.returncode != 0:
        faults = [line for line in installation.stderr.splitlines() if line.startswith("ERROR: ")]
        reason = faults[-1].removeprefix("ERROR: ") if faults else f"pip ended with {installation.returncode}"
        raise ModelMismatch(f"what the model pins cannot be installed: {reason}")
