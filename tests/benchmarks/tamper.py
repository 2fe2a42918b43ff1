"""Whether a version whose files or record were tampered with is ever loaded, and what the check costs.

A real version of an untrained network lies in an embedded store. Each way of tampering is done to it, then undone: after each
the project's own scoring must refuse, and none of the code that was put there may have run.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import mlflow
import yaml
from mlflow import MlflowClient
from rich.table import Table

from tasks.errors import ModelMismatch, RegistryError
from tasks.registration.manifest import DIGEST_TAG, FILE_PREFIX, check_files, hash_files
from tasks.registration.model_files import DOWNLOAD_MARK, verified_model
from tasks.registration.scoring import score_texts
from tasks.registration.versions import VersionSummary
from tests.benchmarks.workplace import working_apart
from tests.registration.small_model import TEXTS, register_small_version, save_small_model

Act = Callable[[], Any]


def measure_tampering(arguments: argparse.Namespace) -> tuple[dict[str, Any], Table]:
    """Tamper with a version of a small network in an embedded store."""
    with working_apart() as folder:
        other, _ = save_small_model(folder / "other", seed=1)
        version = register_small_version(*save_small_model(folder / "small"))
        measured = tamper(version, other.file("model.keras"))
    told = ", ".join(f"{part} {milliseconds:.0f} ms" for part, milliseconds in measured["milliseconds"].items())
    title = f"{measured['refused']} of {measured['ways']} ways of tampering refused; of a load, {told}"
    table = Table("tampering", "refusal", title=title, title_justify="left")
    for name, line in measured["lines"].items():
        table.add_row(name, line or "LOADED")
    return measured, table


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    tree = yaml.safe_load(path.read_text())
    change(tree["flavors"]["python_function"])
    path.write_text(yaml.safe_dump(tree))


def replace(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to(other)


def ways(store: Path, version: VersionSummary, other_network: Path, ran: Path) -> Iterator[tuple[str, Act]]:
    """Yield each way of tampering by name; code that is put into the store makes the file `ran` when it runs."""
    client = MlflowClient()
    code = f"import pathlib; pathlib.Path({str(ran)!r}).touch()\n"
    files = [name for name in hash_files(store) if name != DOWNLOAD_MARK]
    mlmodel, network = store / "MLmodel", store / "artifacts" / "model.keras"

    def tag(name: str, value: str | None) -> None:
        if value is None:
            client.delete_model_version_tag(version.name, version.version, name)
        else:
            client.set_model_version_tag(version.name, version.version, name, value)

    def forget() -> None:
        for name in [*(FILE_PREFIX + file for file in files), DIGEST_TAG]:
            tag(name, None)

    def drop() -> None:
        (store / "conda.yaml").unlink()
        tag(FILE_PREFIX + "conda.yaml", None)

    for name in files:
        yield f"one bit of {name}", lambda name=name: flip(store / name)
        yield f"a byte more in {name}", lambda name=name: (store / name).write_bytes((store / name).read_bytes() + b"\n")
        yield f"{name} removed", lambda name=name: (store / name).unlink()
        yield f"tag of {name} changed", lambda name=name: tag(FILE_PREFIX + name, "0" * 64)
        yield f"tag of {name} removed", lambda name=name: tag(FILE_PREFIX + name, None)
    for name in [name for name in files if name.endswith(".py")]:
        yield f"code put into {name}", lambda name=name: (store / name).write_text(code + (store / name).read_text())
    yield "another network", lambda: shutil.copy(other_network, network)
    yield "a link to another network", lambda: replace(network, other_network)
    yield "a file added", lambda: (store / "artifacts" / "more.txt").write_text("more")
    yield "a module added", lambda: (store / "code" / "keras.py").parent.mkdir() or (store / "code/keras.py").write_text(code)
    yield "MLmodel: threshold", lambda: edit(mlmodel, lambda f: f["config"].update(threshold=0.4))
    yield "MLmodel: a code path", lambda: edit(mlmodel, lambda f: f.update(code="code"))
    yield "MLmodel: another loader", lambda: edit(mlmodel, lambda f: f.update(loader_module="antigravity"))
    yield "MLmodel: a path out", lambda: edit(mlmodel, lambda f: f["artifacts"]["network"].update(path=f"../../{network.name}"))
    yield "MLmodel: a pickle", lambda: edit(mlmodel, lambda f: f.update(python_model="artifacts/model.keras"))
    yield "digest tag changed", lambda: tag(DIGEST_TAG, "0" * 64)
    yield "digest tag removed", lambda: tag(DIGEST_TAG, None)
    yield "every tag removed", forget
    yield "a file and its tag removed", drop
    yield "a tag more", lambda: tag(FILE_PREFIX + "artifacts/more.txt", "0" * 64)


@contextmanager
def undone(store: Path, version: VersionSummary) -> Iterator[None]:
    """Give the store's files and the version's tags back as they were."""
    client = MlflowClient()
    tags = dict(client.get_model_version(version.name, version.version).tags)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(store, Path(folder) / "store")
        yield
        shutil.rmtree(store)
        shutil.copytree(Path(folder) / "store", store)
    now = client.get_model_version(version.name, version.version).tags
    for name in now.keys() - tags.keys():
        client.delete_model_version_tag(version.name, version.version, name)
    for name in [name for name in tags if now.get(name) != tags[name]]:
        client.set_model_version_tag(version.name, version.version, name, tags[name])


def tamper(version: VersionSummary, other_network: Path) -> dict[str, Any]:
    """Tamper with a version of the embedded store in every way, and return what came of each.

    Returns:
        `ways`, `refused`, `loaded` (the names of those that were not refused), `code_ran`, `untouched_loads` (before, and
        after all was undone), `lines` (way -> the refusal), and the milliseconds of a load.
    """
    store = Path(mlflow.artifacts.download_artifacts(f"models:/{version.name}/{version.version}"))
    ran = store.parent / "code-ran"
    before = score_texts(version, TEXTS)
    lines: dict[str, str | None] = {}
    for name, act in ways(store, version, other_network, ran):
        with undone(store, version):
            act()
            try:
                score_texts(version, TEXTS)
                lines[name] = None
            except (ModelMismatch, RegistryError) as refusal:
                lines[name] = str(refusal)
    loaded = [name for name, line in lines.items() if line is None]
    return {
        "ways": len(lines),
        "refused": len(lines) - len(loaded),
        "loaded": loaded,
        "code_ran": ran.exists(),
        "untouched_loads": score_texts(version, TEXTS) == before,
        "lines": lines,
        "milliseconds": time_load(version),
    }


def time_load(version: VersionSummary, rounds: int = 9) -> dict[str, float]:
    """Return medians of the milliseconds of a load: all that the check adds, its hashing alone, and MLflow's own loading."""
    taken: dict[str, list[float]] = {"check": [], "hashing": [], "loading": []}
    for _ in range(rounds):
        start = time.perf_counter()
        with verified_model(version.name, version.version) as folder:
            checked = time.perf_counter()
            check_files(folder, hash_files(folder))
            hashed = time.perf_counter()
            mlflow.pyfunc.load_model(str(folder))
            taken["loading"].append(time.perf_counter() - hashed)
        taken["check"].append(checked - start)
        taken["hashing"].append((hashed - checked) / 2)  # it was hashed twice
    return {name: round(median(seconds) * 1000, 1) for name, seconds in taken.items()}
