"""What the pages say of commands, files and each other, without running it."""

import importlib.util
import os
import re
import subprocess
import sys
from functools import cache

import pytest
from typer.main import get_command

from flows.cli import app
from tests.documentation.pages import PAGES, ROOT, read_anchors, read_blocks, read_links, split_commands

COMMAND = get_command(app)
# Programs that are not of this project; what a test does not run of them, nothing checks.
OTHERS = {
    *("base64", "cat", "cd", "chmod", "cp", "curl", "docker", "echo", "export", "git", "head", "jq", "kill", "ls", "mkdir"),
    *("mlflow", "prefect", "printf", "read", "sleep", "tail", "wc", "$EDITOR"),
}

# Options that act as soon as they are read: on the shell's configuration, say.
ACTING = {"--help", "-h", "--install-completion", "--show-completion"}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_each_command_is_one_that_there_is(page):
    blocks = read_blocks(page)
    subprocess.run(["bash", "-n"], input="\n".join(block.text for block in blocks), text=True, check=True)
    for block in blocks:
        check_commands(block.text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("reprise nowhere", "No such command 'nowhere'"),
        ("reprise train --epoch 3", "No such option: --epoch"),
        ("PREFECT_API_URL=http://x .venv/bin/reprise cache prune", "Missing parameter: older_than"),
        ("cat reviews.txt | reprise predict --json > scores.json && reprise score in.csv", "Missing parameter: output"),
        ("reprise ui \\\n  --mlflow-port 0", "greater than or equal to 1"),
        ('make train ARGS="--epoch 3"', "No such option: --epoch"),
        ("make nothing", "non-zero exit status 2"),
        (".venv/bin/python -m tests.benchmarks.nothing", "no module tests.benchmarks.nothing"),
        ("python - <<'EOF'\nprint()\nEOF\nreprice ui", "reprice is not known"),
    ],
)
def test_a_command_that_there_is_not_is_found(text, fault):
    with pytest.raises(Exception, match=fault):
        check_commands(text)


def check_commands(text):
    for words in split_commands(text):
        check_command(words)


def check_command(words):
    while words and re.match(r"\w+=", words[0]):
        words = words[1:]
    if not words:
        return
    program, *arguments = words
    match program.rpartition("/")[2]:
        case "reprise":
            parse_reprise(arguments)
        case "make":
            check_make(*arguments)
        case "python":
            check_python(arguments)
        case "backup.sh" | "restore.sh":
            assert (ROOT / program).is_file()
        case name:
            assert name in OTHERS, f"{name} is not known"


def parse_reprise(arguments):
    """Have the command itself take the arguments, to the point where it would begin."""
    arguments = [argument for argument in without_redirections(arguments) if argument != "--debug"]
    if set(arguments) & ACTING:
        assert all(word in ACTING or word in COMMAND.commands for word in arguments), f"no command {arguments}"
        return
    command = COMMAND
    context = command.make_context("reprise", arguments)
    while getattr(command, "commands", None) and (rest := [*context._protected_args, *context.args]):
        name, command, arguments = command.resolve_command(context, rest)
        context = command.make_context(name, arguments, parent=context)


def without_redirections(arguments):
    return arguments[: next((place for place, word in enumerate(arguments) if set(word) <= set("<>")), len(arguments))]


@cache
def check_make(*arguments):
    # Without what a make that runs the tests hands on to another, its ARGS among it.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES", "ARGS")}
    command = ["make", "--dry-run", *arguments]
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    check_commands("\n".join(line for line in told.splitlines() if line.startswith(".venv/bin/reprise")))


def check_python(arguments):
    if arguments[:1] == ["-m"]:
        assert importlib.util.find_spec(arguments[1]), f"no module {arguments[1]}"
    else:
        assert arguments[0] == "-"


@pytest.mark.long
def test_options_of_modules_are_ones_that_they_have():
    wanted = {}
    for words in (
        words for page in PAGES for block in read_blocks(page) for words in split_commands(block.text) if "-m" in words[:3]
    ):
        module, *arguments = words[words.index("-m") + 1 :]
        wanted.setdefault(module, set()).update(word.partition("=")[0] for word in arguments if word.startswith("--"))
    for module, options in wanted.items():
        if options:
            command = [sys.executable, "-m", module, "--help"]
            told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
            assert options <= set(re.findall(r"--[a-z-]+", told)), module


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page):
    for target in read_links(page):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        there = (ROOT / page).parent / path if path else ROOT / page
        assert there.resolve().is_relative_to(ROOT), target
        assert there.exists(), target
        assert not anchor or anchor in read_anchors(there.resolve().relative_to(ROOT)), target
