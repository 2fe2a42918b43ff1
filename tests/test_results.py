import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import pytest

from tasks.results import hold_result, list_kept, next_result_folder, prune, remove_superseded, result_folders
from tasks.workspace import home, in_use, published

DAY = 24 * 3600


def publish(stage="padding", key="abc", text="whole"):
    folder = next_result_folder(stage, key)
    with published(folder) as draft:
        (draft / "file.txt").write_text(text)
    return folder


def set_age(folder, seconds):
    os.utime(folder, (time.time() - seconds,) * 2)
    return folder


@contextmanager
def used_by_another_process(folder):
    code = """
import pathlib, sys
from tasks.workspace import in_use
with in_use(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    input()
"""
    command = [sys.executable, "-c", code, folder]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_newest_result_of_a_key_is_found_and_marked_as_used():
    with ExitStack() as held:
        assert hold_result("padding", "abc", held) is None
        folders = [publish() for _ in range(10)]
        publish(key="other")
        set_age(folders[-1], DAY)
        assert hold_result("padding", "abc", held) == folders[-1]
        assert folders[-1].name == "abc.10"
        assert time.time() - folders[-1].stat().st_mtime < 60


def test_a_damaged_result_is_not_found_and_not_held():
    first = publish()
    newest = publish()
    (newest / "file.txt").write_text("whale")
    with ExitStack() as held:
        assert hold_result("padding", "abc", held) is None
        assert publish().name == "abc.3"
        remove_superseded("padding", "abc")
    assert not first.exists()
    assert not newest.exists()
    assert [folder.name for folder in result_folders("padding", "abc")] == ["abc.3"]


def test_a_superseded_result_stays_for_the_process_that_reads_it():
    old = publish(text="old")
    with used_by_another_process(old):
        publish(text="new")
        remove_superseded("padding", "abc")
        assert (old / "file.txt").read_text() == "old"
    remove_superseded("padding", "abc")
    assert not old.exists()


def test_prune_goes_by_the_last_use():
    old, fresh = set_age(publish(key="a"), 31 * DAY), set_age(publish(key="b"), 29 * DAY)
    run = home() / "runs" / "1"
    (run / "training").mkdir(parents=True)
    set_age(run, 40 * DAY)
    removed, spared = prune(timedelta(days=30))
    assert [(one.group, one.path, one.leftover) for one in removed] == [("padding", old, False), ("runs", run, False)]
    assert removed[0].bytes > len("whole")
    assert spared == []
    assert not old.exists()
    assert not run.exists()
    assert fresh.exists()


@pytest.mark.fault("two at once: trainings, promotions, prune")
def test_prune_spares_and_names_what_another_process_uses_until_that_ends_even_by_a_kill():
    used, unused = set_age(publish(key="a"), DAY), set_age(publish(key="b"), DAY)
    with used_by_another_process(used):
        assert [one.in_use for one in list_kept()] == [True, False]
        removed, spared = prune(timedelta(hours=1))
        assert [one.path for one in removed] == [unused]
        assert [one.path for one in spared] == [used]
    assert (used / "file.txt").read_text() == "whole"
    assert [one.path for one in prune(timedelta(hours=1))[0]] == [used]
    assert list_kept() == []


@pytest.mark.parametrize(("days", "goes"), [(0.9, False), (1.1, True)])
def test_what_a_killed_process_left_goes_after_a_day(days, goes):
    left = home() / "stages" / "padding" / ".abc.1.0123"
    left.mkdir(parents=True)
    (left / "half.npy").write_bytes(b"half")
    set_age(left, days * DAY)
    (listed,) = list_kept()
    assert (listed.group, listed.leftover, listed.bytes) == ("padding", True, 4)
    removed, _ = prune(timedelta(days=30) if goes else timedelta(0))
    assert [one.path for one in removed] == ([left] if goes else [])
    assert left.exists() is not goes


def test_a_draft_that_is_being_written_is_no_leftover():
    left = home() / "stages" / "padding" / ".abc.1.0123"
    left.mkdir(parents=True)
    set_age(left, 2 * DAY)
    with in_use(left):
        assert prune(timedelta(0))[0] == []
    assert left.exists()
