"""The command blocks of the pages, run as a reader runs them: from the top of a page, in a folder of its own."""

import shutil
from pathlib import Path

import pytest

from tests.documentation.pages import PAGES, ROOT
from tests.documentation.shell import Shell
from tests.documentation.userdata import write_imdb, write_tables

# Nothing is downloaded: `reprise train` without arguments takes its sample.
OFFLINE = {"https_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1,localhost"}
STORY = (Path("docs/tutorial.md"), Path("README.md"))
# These speak of one registered model; the others train several, and come after those that name theirs.
OF_ONE_MODEL = tuple(
    Path("docs", f"{name}.md")
    for name in ("promotion", "reproduction", "scoring", "monitoring", "serving", "schedule", "sweeps")
)
# The reference's examples are no story, each supposes a state of its own: that the command takes them is shown by test_pages.
OTHERS = tuple(page for page in PAGES if page not in (*STORY, *OF_ONE_MODEL) and page.parent.name != "reference")
REPLACED = {
    "path/to/imdb.npz": "imdb.npz",
    "--config imdb": "--config imdb --data imdb.npz",
    "--data imdb.npz --data imdb.npz": "--data imdb.npz",
    "--trials 20": "--trials 2",
    "--data PATH": "--data tables/reviews.csv",
}


@pytest.mark.long
def test_the_tutorial_and_then_the_readme(tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("no curl: apt-get install curl")
    shell = Shell(tmp_path, variables=OFFLINE, replaced={})
    shell.run_page(STORY[0])
    tutorial = tmp_path / "reprise-tutorial"
    (tutorial / ".venv").symlink_to(ROOT / ".venv")
    shell.run_page(STORY[1], tutorial)


@pytest.mark.long
def test_pages_of_one_model(tmp_path):
    shell = shell_of_a_user(tmp_path)
    unpromoted = "--set registration.gate.required_gain=0.9"  # but for the first
    for seed in range(4):
        shell.run(f".venv/bin/reprise train --config imdb --data imdb.npz --set training.seed={seed} {unpromoted}")
    for version in (2, 3):
        shell.run(f'.venv/bin/reprise promote {version} --override --reason "so that there is something to take back"')
    for page in OF_ONE_MODEL:
        shell.run_page(page)


@pytest.mark.long
def test_all_other_pages(tmp_path):
    shell = shell_of_a_user(tmp_path)
    shell.run(".venv/bin/reprise train --config imdb --data imdb.npz")
    for page in OTHERS:
        shell.run_page(page)


def shell_of_a_user(folder):
    """Return a shell in whose folder lies what the pages suppose that a reader has."""
    shell = Shell(folder, variables=OFFLINE, replaced=REPLACED)
    write_imdb(shell.clone / "imdb.npz")
    write_tables(shell.clone)
    return shell
