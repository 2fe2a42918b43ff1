"""Configurations that somebody made to break, to fill or to take over what reads them: one line, and nothing runs."""

import os
import resource
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from configs.bounded_yaml import MOST_BYTES, read_yaml
from configs.loading import check_config, check_section, override, parse_config, read_config
from configs.schedule import ScheduleConfig
from configs.schema import Config
from configs.sweep import SweepConfig
from tasks.errors import ConfigError

FAULT = "hostile YAML"
PRESET = Path("configs/imdb.yaml")
NAMES = "abcdefghij"
LAUGHS = "".join(f"{below}: &{below} [{', '.join([f'*{above}'] * 10)}]\n" for above, below in pairwise(NAMES))
BOMB = f"a: &a [lol]\n{LAUGHS}data: {{source: imdb}}\n"
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{below}: &{below} {{<<: [{', '.join([f'*{above}'] * 10)}]}}\n" for above, below in pairwise(NAMES)
)
GADGETS = [
    "data: {name: !!python/object/apply:os.system ['touch MARKER']}",
    "data: {name: !!python/object/new:os.system ['touch MARKER']}",
    "data: {name: !!python/name:os.system }",
    "data: {name: !!python/module:antigravity }",
    "data: {name: !!python/object:tasks.errors.ConfigError {}}",
]


@pytest.fixture
def refused(tmp_path):
    """Have a text refused as a training's configuration file, and return the line."""

    def refuse(text, *, schema=Config):
        file = tmp_path / "hostile.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        start = time.monotonic()
        with pytest.raises(ConfigError) as refusal:
            check_section(read_config(str(file)), str(file), schema)
        assert time.monotonic() - start < 10
        line = str(refusal.value)
        assert "\n" not in line
        assert line.isprintable()
        assert len(line) < 1200
        assert str(file) in line
        return line.replace(str(file), "FILE")

    return refuse


@pytest.mark.fault(FAULT)
@pytest.mark.parametrize(
    ("text", "line"),
    [
        (BOMB, "FILE: e.8: more than 20,000 values, counting what aliases repeat (near line 5)"),
        (MERGES, "FILE: e.<<.4: more than 20,000 values, counting what aliases repeat (near line 5)"),
        ("data: &a {source: *a}", "FILE: data.source: an alias for what it stands in"),
        ("data: " + "[" * 100_000, "FILE: data.0.0.0"),
        ("data: " + "{a: " * 5000, "FILE: data.a.a.a"),
        ("? " * 100_000, "FILE: configuration: a key is a word, not a collection"),
        ("data:\n" + "".join(f"{'  ' * depth}a:\n" for depth in range(1, 400)), "FILE: data.a.a.a"),
        ("data: {source: imdb}\ntraining: {epochs: 3, seed: 1, epochs: 5}", "FILE: training.epochs: given twice (near line 2)"),
        ("data: {source: imdb}\ndata: {source: sample}", "FILE: data: given twice"),
        ('data: {source: imdb, "so\\u0075rce": sample}', "FILE: data.source: given twice"),
        ("data: {source: imdb}\n1: 2", "FILE: configuration: a key is a word, not 1"),
        ("data: {source: imdb, true: 2}", "FILE: data: a key is a word, not true"),
        ("data: {source: imdb, [1]: 2}", "FILE: data: a key is a word, not a collection"),
        ("- data", "FILE: a configuration is a mapping of sections, not list"),
        ("", "FILE: a configuration is a mapping of sections, not NoneType"),
        ("data: {source: imdb}\n---\ndata: {source: imdb}", "FILE: not valid YAML at line 2, column 1"),
        ("data: @x", "FILE: not valid YAML at line 1, column 7"),
        ("data: \x07", "FILE: not valid YAML: special characters are not allowed"),
        ('data: {source: imdb}\n"a\\nb": 1', "FILE: a b: unknown key"),
        ('data: {source: "im\\ndb\\x1b[31m"}', "FILE: data.source: Input should be 'imdb'"),
    ],
)
def test_what_is_no_configuration_is_refused_by_the_path_of_its_key(refused, text, line):
    assert refused(text).startswith(line)


@pytest.mark.fault(FAULT)
@pytest.mark.parametrize("text", GADGETS)
def test_no_tag_makes_an_object(refused, text, tmp_path):
    marker = tmp_path / "marker"
    assert refused(text.replace("MARKER", str(marker))).startswith("FILE: data.name: the tag tag:yaml.org,2002:python/")
    with pytest.raises(ConfigError, match="the tag"):
        override(read_config("imdb"), [f"data.name={text.removeprefix('data: {name: ')[:-1]}".replace("MARKER", str(marker))])
    assert not marker.exists()


@pytest.mark.fault(FAULT)
@pytest.mark.parametrize(
    "tag", ["!!binary YQ==", "!!set {a}", "!!int 1:30", "!!bool maybe", "!mine {}", "!!timestamp 2026-01-01", "!!str 1"]
)
def test_no_tag_is_taken_at_all(refused, tag):
    assert refused(f"data: {{source: imdb, name: {tag}}}").startswith("FILE: data.name: the tag")


@pytest.mark.fault(FAULT)
@pytest.mark.parametrize(
    ("assignment", "line"),
    [
        ("training.learning_rate=.nan", "training.learning_rate: Input should be a finite number (got nan)"),
        ("training.learning_rate=-.inf", "training.learning_rate: Input should be a finite number (got -inf)"),
        ("training.learning_rate=1.0e+999", "training.learning_rate: Input should be a finite number (got inf)"),
        ("training.epochs=.inf", "training.epochs: Input should be a valid integer (got inf)"),
        ("registration.floors={accuracy: .nan}", "registration.floors.accuracy: Input should be"),
        ("evaluation.length_bands=[100, .nan]", "evaluation.length_bands.1: Input should be"),
        ("training.epochs=010", "training.epochs: Input should be a valid integer (got '010')"),
        ("training.epochs=0x10", "training.epochs: Input should be a valid integer (got '0x10')"),
        ("training.epochs=1_0", "training.epochs: Input should be a valid integer (got '1_0')"),
        ("padding.maxlen=5:00", "padding.maxlen: Input should be a valid integer (got '5:00')"),
        ("training.epochs=1e1", "training.epochs: Input should be a valid integer (got '1e1')"),
        ("training.epochs=true", "training.epochs: Input should be a valid integer (got True)"),
        ("training.compiled=yes", "training.compiled: Input should be a valid boolean (got 'yes')"),
        ("training.compiled=1", "training.compiled: Input should be a valid boolean (got 1)"),
        ("data.name=2026-01-01T00:00:00Z", "data.name: String should match pattern"),
        ("data.name=a: b: c", "not valid YAML"),
        ("training.epochs=" + "9" * 5000, "training.epochs: Input should be a valid integer (got '999"),
        ("training.seed=99999999999999999", "training.seed: Input should be less than 4294967296"),
        (
            "training.early_stopping=[" + "a," * 9000 + "]",
            "training.early_stopping: Input should be a valid dictionary or instance of EarlyStopping",
        ),
    ],
)
def test_a_value_that_is_no_plain_number_or_switch_is_refused(assignment, line):
    with pytest.raises(ConfigError, match=r"^[^\n]{1,600}\Z") as refusal:
        check_config(override(read_config("imdb"), ["data.source=imdb", assignment]), "imdb")
    assert line in str(refusal.value)


@pytest.mark.fault(FAULT)
@pytest.mark.parametrize("path", ["a" + ".a" * 5000, "x" * 100_000, "a.\n.b"])
def test_a_path_that_no_key_has_is_refused(path):
    with pytest.raises(ConfigError, match=r"^[^\n]{1,600}\Z"):
        check_config(override(read_config("imdb"), [f"{path}.b=1"]), "imdb")


@pytest.mark.fault(FAULT)
@pytest.mark.parametrize(
    ("schema", "text", "line"),
    [
        (ScheduleConfig, "training: {timetable: {every_seconds: .nan}}", "training.timetable.every_seconds: Input should be"),
        (ScheduleConfig, "notification: {quiet_minutes: .inf}", "notification.quiet_minutes: Input should be a finite number"),
        (
            ScheduleConfig,
            "recovery: {every_seconds: 1:30}",
            "recovery.every_seconds: Input should be a valid number (got '1:30')",
        ),
        (SweepConfig, "{name: a, trials: 3, space: {training.seed: {low: .nan, high: 1}}}", "space.training.seed.low"),
        (SweepConfig, '{name: a, trials: 3, space: {"a\\nb": {low: 0, high: 1}}}', "space: a b: only keys of"),
    ],
)
def test_schedules_and_sweeps_are_read_as_strictly(refused, schema, text, line):
    assert refused(text, schema=schema).startswith(f"FILE: {line}")


@pytest.mark.fault(FAULT)
@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda file: file.mkdir(), "it is a folder"),
        (os.mkfifo, "it is no plain file"),
        (lambda file: file.symlink_to("/dev/zero"), "it is no plain file"),
        (lambda file: file.write_bytes(b"data: {source: imdb}\n#" + b"x" * 10_000_000), "it has more than 250,000 bytes"),
        (lambda file: file.write_bytes(b"data: {name: \xff\xfe}"), "'utf-8' codec can't decode byte 0xff in position 13"),
        (lambda file: file.write_bytes("data: {source: imdb}".encode("utf-16")), "'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_what_is_no_file_of_text_is_refused_at_once(tmp_path, make, line):
    file = tmp_path / "hostile.yaml"
    make(file)
    with pytest.raises(ConfigError) as refusal:
        read_config(str(file))
    assert str(refusal.value).startswith(f"cannot read configuration '{file}': {line}")


@pytest.mark.fault(FAULT)
def test_a_sparse_file_of_any_size_is_not_read_into_memory(tmp_path):
    file = tmp_path / "hostile.yaml"
    with file.open("wb") as sparse:
        sparse.truncate(20 * 2**30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ConfigError, match="more than 250,000 bytes"):
        read_config(str(file))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


@pytest.mark.fault(FAULT)
def test_the_largest_text_that_is_read_takes_seconds(refused):
    unit = "- {a: 1.5, b: 'x y', c: [1, 2, 3], d: \"\\u00e9\"}\n"
    refused("data:\n" + unit * ((MOST_BYTES - 10) // len(unit)))
    refused("data: " + "a" * (MOST_BYTES - 10))
    refused("data: '" + "''" * (MOST_BYTES // 2 - 10) + "'")


@pytest.mark.fault(FAULT)
def test_the_command_refuses_a_bomb_in_one_line_within_bounded_memory(tmp_path):
    bomb = tmp_path / "bomb.yaml"
    bomb.write_text(BOMB)
    tell = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
sys.argv = ["reprise", "train", "--config", {str(bomb)!r}]
from flows.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", tell], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert (
        done.stderr.replace("\n", "")
        == f"error: {bomb}: e.8: more than 20,000 values, counting what aliases repeat (near line 5)"
    )
    assert not (tmp_path / "mlruns").exists()


def test_aliases_and_merges_that_are_no_bomb_are_read():
    text = "a: &a {x: 1, y: [2.5, null, true]}\nb: {<<: *a, x: 3}\nc: *a\n"
    assert parse_config(text, "text") == yaml.safe_load(text)


def test_what_pyyaml_writes_reads_back_as_it_was():
    values = [
        "yes",
        "no",
        "on",
        "010",
        "1:30",
        "0x1f",
        "1_000",
        "1e5",
        "1.5e5",
        "2026-01-01",
        "~",
        "null",
        "true",
        "=",
        "<<",
        "",
        " a",
        "é",
        "3",
        "3.",
    ]
    values += [3, -3, 0, 1e-7, 1.5, 1e300, float("inf"), True, None, [], {}]
    assert read_yaml(yaml.safe_dump(values)) == values
    assert yaml.safe_dump(read_yaml(yaml.safe_dump([float("nan")]))) == "- .nan\n"


def test_a_label_is_the_word_that_was_written():
    labels = ["data.negative_labels=[no, 010]", "data.positive_labels=[yes, 1:30]"]
    config = check_config(override(read_config("sample"), labels), "test")
    assert (config.data.negative_labels, config.data.positive_labels) == (["no", "010"], ["yes", "1:30"])


def test_every_preset_is_read_as_pyyaml_reads_it():
    for file in [*Path("configs").glob("*.yaml"), *Path("configs").glob("*/*.yaml")]:
        assert parse_config(file.read_text(), file.name) == yaml.safe_load(file.read_text())
