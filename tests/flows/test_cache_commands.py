"""`reprise cache` as a user meets it; `test_processes.py` has it beside running trainings."""

import json
import os
import re
import time
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from flows.cache_commands import read_age
from flows.cli import app
from tasks.errors import InputError
from tasks.results import next_result_folder
from tasks.workspace import home, is_whole, published

DAY = 24 * 3600


def publish(stage, *, days, text="x" * 1500):
    folder = next_result_folder(stage, "0123456789abcdef")
    with published(folder) as draft:
        (draft / "file.txt").write_text(text)
    os.utime(folder, (time.time() - days * DAY,) * 2)
    return folder


def cache(*arguments):
    result = CliRunner().invoke(app, ["cache", *arguments], env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_an_empty_cache_is_told():
    assert "The cache is empty" in cache()
    assert json.loads(cache("--json")) == {"groups": [], "bytes": 0}


def test_the_cache_is_shown_by_stage_with_its_size_and_last_use():
    publish("padding", days=3)
    publish("padding", days=1)
    publish("ingestion", days=2)
    (home() / "runs" / "1").mkdir(parents=True)
    (home() / "stages" / "padding" / ".0123.1.4567").mkdir()
    shown = json.loads(cache("--json"))
    assert [(group["name"], group["folders"], group["in_use"]) for group in shown["groups"]] == [
        ("ingestion", 1, 0),
        ("padding", 2, 0),
        ("padding, unfinished", 1, 0),
        ("runs", 1, 0),
    ]
    assert shown["bytes"] == sum(group["bytes"] for group in shown["groups"]) > 4500
    assert shown["groups"][1]["bytes"] > 3000
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - DAY))
    assert shown["groups"][1]["last_used"].startswith(day)
    lines = cache().splitlines()
    assert re.search(rf"padding +2 +3\.\d kB +{day}", "\n".join(lines))
    assert re.search(r"total +5 +4\.\d kB", "\n".join(lines))


def test_prune_removes_what_is_older_and_tells_what_it_freed():
    old, fresh = publish("padding", days=31), publish("ingestion", days=29)
    told = cache("prune", "--older-than", "30d")
    assert re.search(rf"padding +{old.name} ", told)
    assert "ingestion" not in told
    assert re.search(r"1 removed, 1\.\d kB freed\.", told)
    assert not old.exists()
    assert is_whole(fresh)
    pruned = json.loads(cache("prune", "--older-than", "4w", "--json"))
    assert [(one["group"], one["path"]) for one in pruned["removed"]] == [("ingestion", str(fresh))]
    assert pruned["bytes_freed"] > 1500
    assert "0 removed" in cache("prune", "--older-than", "1h")


@pytest.mark.parametrize(
    ("text", "time"),
    [("12h", timedelta(hours=12)), ("30d", timedelta(days=30)), ("2w", timedelta(weeks=2)), ("0d", timedelta(0))],
)
def test_an_age_is_hours_days_or_weeks(text, time):
    assert read_age(text) == time


@pytest.mark.parametrize("text", ["", "30", "d", "30x", "-1d", "1.5d", "30 d", "1d\n", "999999w", "٣d"])
def test_any_other_age_is_refused(text):
    publish("padding", days=400)
    with pytest.raises(InputError, match=r"--older-than .* is no time: give .* 12h, 30d or 2w"):
        read_age(text)
    with pytest.raises(InputError):
        cache("prune", f"--older-than={text}")
    assert len(list((home() / "stages" / "padding").iterdir())) == 1


def test_json_before_the_command_is_refused():
    with pytest.raises(InputError, match="reprise cache prune --json"):
        cache("--json", "prune", "--older-than", "1d")
