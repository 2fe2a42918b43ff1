"""Thousands of damaged files: each is read, or refused in one line of the product's own, in bounded memory and time."""

import json
import subprocess
import sys

import pytest

from tests.faults.fuzz_readers import FORMATS

EXAMPLES, MANY_EXAMPLES = 50, 5_000


def fuzz(folder, formats, examples):
    """Return what became of so many files of each format, read in a process of its own."""
    command = [sys.executable, "-m", "tests.faults.fuzz_readers", folder, *formats, "--examples", str(examples)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=3000)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def check(found, formats, examples, tries):
    tries(examples * len(formats), sum(counts["files"] for counts in found["formats"].values()))
    assert [counts["files"] for counts in found["formats"].values()] == [examples] * len(formats)
    became = {what: sum(counts.get(what, 0) for counts in found["formats"].values()) for what in ("read", "refused")}
    assert min(became.values()) > 0  # neither is the rule
    assert max(counts["slowest"] for counts in found["formats"].values()) < 30
    assert found["peak_mib"] < 2_000


@pytest.mark.fault("fuzzed file")
def test_a_file_damaged_anyhow_is_read_or_refused(tmp_path, tries):
    check(fuzz(tmp_path, FORMATS, EXAMPLES), FORMATS, EXAMPLES, tries)


@pytest.mark.long
@pytest.mark.fault("fuzzed file")
@pytest.mark.parametrize("kind", FORMATS)
def test_thousands_of_files_damaged_anyhow_are_read_or_refused(tmp_path, kind, tries):
    check(fuzz(tmp_path, [kind], MANY_EXAMPLES), [kind], MANY_EXAMPLES, tries)
