"""Every command that there is: what its help says, that its example is one, and what a shell completes."""

import os
import shlex
import subprocess
import sys

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from configs.loading import preset_names
from flows.cli import app

HEAVY = {"tensorflow", "keras", "mlflow", "prefect", "great_expectations", "pandas", "numpy", "sklearn"}
ANSWERLESS = {"ui", "serve"}
"""They serve until Ctrl-C, and have no answer that a program could read."""


def walk(command, path=()):
    """Yield every command with its path; a group that does something without a command of its own is one."""
    if not isinstance(command, TyperGroup) or (path and command.invoke_without_command):
        yield path, command
    if isinstance(command, TyperGroup):
        for name, child in command.commands.items():
            yield from walk(child, (*path, name))


COMMANDS = dict(walk(get_command(app)))
ALL = pytest.mark.parametrize("path", COMMANDS, ids=" ".join)


@ALL
def test_help_has_a_line_an_example_and_a_word_on_each_option(path):
    command = COMMANDS[path]
    summary, *paragraphs = command.help.split("\n\n")
    assert "\n" not in summary
    assert summary[0].isupper()
    assert summary.rstrip().endswith(".")
    assert [paragraph.startswith("Example: reprise ") for paragraph in paragraphs].count(True) == 1
    for parameter in command.params:
        assert parameter.help, f"{parameter.name} of {path}"


@ALL
def test_the_example_is_a_command_line_of_the_real_command(path):
    (example,) = [line for line in COMMANDS[path].help.split("\n\n") if line.startswith("Example: ")]
    program, *arguments = shlex.split(" ".join(example.removeprefix("Example: ").split()))
    assert program == "reprise"
    assert tuple(arguments[: len(path)]) == path
    context = COMMANDS[path].make_context(" ".join(path), arguments[len(path) :])
    assert not context.args


@ALL
def test_what_a_program_could_read_can_be_had_as_json(path):
    flags = {flag for parameter in COMMANDS[path].params for flag in parameter.opts}
    assert ("--json" in flags) == (path[0] not in ANSWERLESS)


def complete(*words, kind="bash"):
    """What a shell is told that asks for the last word's completion, and the heavy libraries that it waited for."""
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print(*sorted({HEAVY} & set(sys.modules)), file=sys.stderr))\n"
        "sys.argv[0] = 'reprise'\nfrom flows.cli import main\nmain()"
    )
    line = " ".join(("reprise", *words))
    asked = {"bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words))}}.get(kind, {"_TYPER_COMPLETE_ARGS": line})
    environment = {**os.environ, "_REPRISE_COMPLETE": f"complete_{kind}", "_TYPER_COMPLETE_FISH_ACTION": "get-args", **asked}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return run.stdout, run.stderr.split()


def test_a_shell_completes_commands_options_presets_and_aliases_without_a_server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told, imported = complete("train", "--config", "")
    assert told.split() == preset_names()
    assert imported == []
    assert complete("promote", "cha", kind="zsh")[0].count("cha") == 2
    assert "--resume" in complete("train", "--re", kind="fish")[0]
    assert list(tmp_path.iterdir()) == []
