"""Whatever is given as a configuration, it is taken or refused in one line, in bounded time: by hypothesis."""

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.loading import check_config, check_section, flatten, override, read_config
from configs.monitoring import MonitoringRequest
from configs.schedule import ScheduleConfig
from configs.schema import Config
from configs.sweep import SweepConfig
from tasks.errors import ConfigError, InputError

PRESETS = {
    "imdb.yaml": Config,
    "sample.yaml": Config,
    "schedules/nightly.yaml": ScheduleConfig,
    "sweeps/imdb.yaml": SweepConfig,
}
TEXTS = {name: (Path("configs") / name).read_bytes() for name in PRESETS}
KEYS = sorted({key for text in ("imdb", "sample") for key in flatten(check_config(read_config(text), text).model_dump())})
# What means something to a YAML reader, or has meant too much to one.
PIECES = [
    *(
        "&a ",
        "*a",
        "<<: ",
        "? ",
        ": ",
        "- ",
        "---\n",
        "...\n",
        "!!python/object/apply:os.system ",
        "!!binary ",
        "! ",
        "%YAML 9.9\n",
    ),
    *(
        "[",
        "]",
        "{",
        "}",
        ",",
        "'",
        '"',
        "|\n",
        ">\n",
        "#",
        "\t",
        "\n",
        "\r",
        "\x00",
        "\ufeff",
        "\u2028",
        "\x85",
        "\ud800",
        "é",
    ),
    *(
        ".nan",
        ".inf",
        "-.inf",
        "1:30",
        "010",
        "0x1f",
        "1e999",
        "1_0",
        "yes",
        "null",
        "~",
        "9" * 30,
        "\\u0000",
        "\\x1b",
        "=",
        "`",
        "@",
    ),
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(PIECES),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), below, max_size=4),
    max_leaves=12,
)
FEW, MANY = 200, 4_000  # of each fuzzer
SECONDS = 5


@st.composite
def mutated_presets(draw):
    """A preset with some places cut out, doubled, or replaced by pieces of YAML or any bytes."""
    name = draw(st.sampled_from(sorted(TEXTS)))
    text = TEXTS[name]
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        piece = draw(st.sampled_from(PIECES).map(lambda piece: piece.encode(errors="surrogatepass")) | st.binary(max_size=8))
        text = text[:start] + piece * draw(st.integers(0, 3)) + text[end:] + (text[start:end] if draw(st.booleans()) else b"")
    return text, PRESETS[name]


def fuzzing(examples):
    """The few are the same each time, so that the tests of a change speak of the change; the many are always others."""
    return settings(
        max_examples=examples,
        derandomize=examples == FEW,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def survive(read):
    """Read; nothing but one line may come of it, and soon."""
    start = time.monotonic()
    try:
        read()
    except (ConfigError, InputError) as refusal:
        line = str(refusal)
        assert line.strip()
        assert line.isprintable(), line
        assert len(line) < 1500
    assert time.monotonic() - start < SECONDS


def read_bytes(folder, content, schema):
    file = folder / "fuzzed.yaml"
    file.write_bytes(content)
    survive(lambda: check_section(read_config(str(file)), "fuzzed", schema))


def fuzz_bytes(folder, examples):
    @fuzzing(examples)
    @given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")))
    def any_bytes(content):
        read_bytes(folder, content, Config)

    any_bytes()


def fuzz_presets(folder, examples):
    @fuzzing(examples)
    @given(mutated_presets())
    def presets(mutated):
        read_bytes(folder, *mutated)

    presets()


def fuzz_pieces(folder, examples):
    @fuzzing(examples)
    @given(st.lists(st.sampled_from([*PIECES, *KEYS, "data: ", "a", " ", "  "]), max_size=40), st.sampled_from([1, 1, 50]))
    def pieces(drawn, times):
        read_bytes(folder, ("".join(drawn) * times).encode(errors="surrogatepass"), Config)

    pieces()


def fuzz_assignments(folder, examples):
    pieces = st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=6).map("".join)
    path = st.sampled_from(KEYS) | pieces | st.lists(st.text(max_size=3), max_size=30).map(".".join)
    value = pieces | VALUES.map(str) | VALUES.map(repr)

    @fuzzing(examples)
    @given(st.lists(st.tuples(path, value).map("=".join) | pieces, min_size=1, max_size=3))
    def assignments(given):
        survive(lambda: check_config(override(read_config("imdb"), given), "imdb"))
        survive(lambda: check_section(override({"reviews": {"path": "a"}}, given), "monitor", MonitoringRequest))

    assignments()


def fuzz_trees(folder, examples):
    """Trees of any values, as a Prefect form or a recorded configuration may hand them over."""

    @fuzzing(examples)
    @given(
        st.dictionaries(
            st.sampled_from([*Config.model_fields, *ScheduleConfig.model_fields, "space", "name"]), VALUES, max_size=5
        )
    )
    def trees(tree):
        for schema in (Config, ScheduleConfig, SweepConfig):
            survive(lambda schema=schema: check_section(tree, "tree", schema))

    trees()


FUZZERS = [fuzz_bytes, fuzz_presets, fuzz_pieces, fuzz_assignments, fuzz_trees]


@pytest.mark.fault("hostile YAML")
@pytest.mark.parametrize("fuzz", FUZZERS)
def test_nothing_but_one_line_comes_of_any_configuration(tmp_path, fuzz, tries):
    fuzz(tmp_path, FEW)
    tries(FEW, FEW)


@pytest.mark.long
@pytest.mark.fault("hostile YAML")
@pytest.mark.parametrize("fuzz", FUZZERS)
def test_nothing_but_one_line_comes_of_very_many(tmp_path, fuzz, tries):
    fuzz(tmp_path, MANY)
    tries(MANY, MANY)
