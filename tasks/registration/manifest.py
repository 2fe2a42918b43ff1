"""What files a model has, and whether a folder holds these and no others, byte for byte."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from configs.loading import parse_config
from configs.one_line import one_line, shown_value
from tasks.errors import ConfigError, ModelMismatch
from tasks.workspace import sha256_of_file

FILE_PREFIX = "file."
DIGEST_TAG = "files.sha256"
LOADER = "mlflow.pyfunc.loaders.code_model"
MAX_KEY_LENGTH = 250
_VALID_KEY = re.compile(r"[/\w.\- :]+")  # mlflow.utils.validation, as is the length


def hash_files(folder: Path) -> dict[str, str]:
    """Return the sha256 (hex) of every file below a folder, by its path there, in the order of the paths.

    Raises:
        ModelMismatch: something there is neither a folder nor a plain file: what a link leads to can change unseen.
    """
    hashes = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ModelMismatch(f"{name!r} in {folder} is no plain file")
        if path.is_file():
            hashes[name] = sha256_of_file(path)
    return dict(sorted(hashes.items()))


def manifest_digest(manifest: Mapping[str, str]) -> str:
    """Return one sha256 (hex) over all paths and their sha256, whatever their order."""
    lines = (f"{name}\0{digest}\n" for name, digest in sorted(manifest.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def manifest_tags(manifest: Mapping[str, str], prefix: str = FILE_PREFIX) -> dict[str, str]:
    """Return a manifest as tags of an MLflow version, a tag for each file.

    Raises:
        ModelMismatch: MLflow takes no tag of a file's name.
    """
    for name in manifest:
        if len(prefix + name) > MAX_KEY_LENGTH or not _VALID_KEY.fullmatch(name):
            raise ModelMismatch(
                f"the model's file {name!r} cannot be recorded in a tag: at most {MAX_KEY_LENGTH - len(prefix)} "
                "letters, digits, spaces and / _ . - : make its path"
            )
    return {prefix + name: digest for name, digest in manifest.items()}


def version_record(manifest: Mapping[str, str], data: Mapping[str, str]) -> dict[str, str]:
    """Return the tags by which a version is known again: its files, one digest over them all, and those of its data by name.

    Raises:
        ModelMismatch: MLflow takes no tag of a file's name.
    """
    digests = {f"data.{name}": digest for name, digest in data.items()}
    return {**manifest_tags(manifest), DIGEST_TAG: manifest_digest(manifest), **digests}


def read_manifest(tags: Mapping[str, str], prefix: str = FILE_PREFIX) -> dict[str, str]:
    """Return the manifest that `manifest_tags` made tags of; empty where there is none."""
    return {key.removeprefix(prefix): value for key, value in sorted(tags.items()) if key.startswith(prefix)}


def check_files(folder: Path, expected: Mapping[str, str]) -> None:
    """Compare a folder with a manifest.

    Raises:
        ModelMismatch: a file is changed, missing, or not in the manifest; the first is named, and the others counted.
    """
    found = hash_files(folder)
    faults = [
        f"{name!r} {'is missing' if name not in found else 'is changed' if name in expected else 'does not belong to it'}"
        for name in sorted(expected.keys() | found.keys())
        if found.get(name) != expected.get(name)
    ]
    if faults:
        raise ModelMismatch(faults[0] + (f", and {len(faults) - 1} more differ" if faults[1:] else ""))


def check_mlmodel(folder: Path) -> None:
    """See that MLflow will load from a folder what a training of this project logs, and nothing else.

    That is code as a file of the folder, and artifacts in it; no pickle, no further modules, no loader of another package.

    Raises:
        ModelMismatch: the folder's `MLmodel` asks for more, for something else, or for what lies outside.
    """
    try:
        function = parse_config((folder / "MLmodel").read_text(encoding="utf-8"), "MLmodel")["flavors"]["python_function"]
        artifacts = [artifact["path"] for artifact in (function.get("artifacts") or {}).values()]
        environments = list((function.get("env") or {}).values())
        code = PurePosixPath(function["model_code_path"]).name  # MLflow forgets the folder that it was logged from
    except (ConfigError, OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise ModelMismatch(f"its MLmodel is not one of this project: {type(error).__name__}: {one_line(str(error))}") from None
    if function.get("loader_module") != LOADER:
        raise ModelMismatch(f"its MLmodel names the loader {shown_value(function.get('loader_module'))}, not {LOADER}")
    for key in ("python_model", "code", "data"):
        if function.get(key) is not None:
            raise ModelMismatch(f"its MLmodel has {key} {shown_value(function[key])}: only code in a file is loaded")
    for path in [*artifacts, *environments, code]:
        if not isinstance(path, str) or not (folder / path).resolve().is_relative_to(folder.resolve()):
            raise ModelMismatch(f"its MLmodel leads out of it, to {shown_value(path)}")
        if not (folder / path).is_file():
            raise ModelMismatch(f"its MLmodel names a file that it has not, {shown_value(path)}")
