"""Results shared through a real S3 server, and through a folder as fsspec sees it, by machines with workspaces of their own."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest
from s3fs import S3FileSystem
from typer.testing import CliRunner

from flows.cli import app
from tasks.bucket import Entry
from tasks.errors import InputError, StorageError
from tasks.handles import StageOutput
from tasks.results import HANDLE_FILE, next_result_folder, result_folders, results_below
from tasks.shared_results import find_result, list_shared, localized, open_bucket, prune_shared, share_result
from tasks.storage import require_writable, write_output
from tasks.workspace import home, is_whole, published

STAGE, KEY = "padding validation", "0123456789abcdef"
DAY = timedelta(days=1)


@pytest.fixture(params=["s3", "file"])
def shared(request, tmp_path, monkeypatch):
    """The URL that the machines share, in a bucket or a folder."""
    url = f"{request.getfixturevalue('s3_bucket')}/reprise/home" if request.param == "s3" else f"file://{tmp_path}/shared"
    monkeypatch.setenv("REPRISE_HOME", url)
    return url


@pytest.fixture
def in_bucket(s3_bucket, monkeypatch):
    monkeypatch.setenv("REPRISE_HOME", s3_bucket)
    return s3_bucket


@pytest.fixture
def new_connection():
    """What this test changes of the environment has a say: fsspec keeps filesystems, and opens them by the first use."""
    S3FileSystem.clear_instance_cache()
    yield
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def work_on(tmp_path, monkeypatch):
    """From now on, this process is a machine of that name."""
    return lambda name: monkeypatch.setenv("REPRISE_LOCAL", str(tmp_path / name))


def build(text, key=KEY):
    folder = next_result_folder(STAGE, key)
    with published(folder) as draft:
        (draft / "data docs").mkdir()
        (draft / "data docs" / "page.html").write_text(text)
        (draft / "nothing.npy").touch()
        (draft / HANDLE_FILE).write_text(StageOutput(path=".", sha256=text).model_dump_json())
    return folder


def find(key=KEY, force=False):
    with ExitStack() as held:
        return find_result(STAGE, key, held, force=force)


def share(folder, beyond=0, key=KEY):
    with ExitStack() as held:
        return share_result(STAGE, key, folder, beyond, held)


def text_of(folder):
    assert is_whole(folder)
    return (folder / "data docs" / "page.html").read_text()


def files_in(url):
    filesystem, path = fsspec.core.url_to_fs(url)
    filesystem.invalidate_cache()
    return sorted(file.removeprefix(path).lstrip("/") for file in filesystem.find(path))


def page_in(url):
    return f"{url}/{next(name for name in files_in(url) if name.endswith('page.html'))}"


def rewrite(url, content):
    filesystem, path = fsspec.core.url_to_fs(url)
    filesystem.pipe_file(path, content)


def test_what_one_machine_built_another_fetches_once(shared, work_on):
    work_on("one")
    assert find() == (None, False, 0)
    mine = build("whole")
    assert share(mine) == mine
    work_on("two")
    theirs, fetched, _ = find()
    assert fetched
    assert theirs.is_relative_to(home())
    assert text_of(theirs) == "whole"
    assert (theirs / "nothing.npy").stat().st_size == 0
    assert find() == (theirs, False, 0)


def test_a_result_of_before_is_shared_when_it_is_used(shared, work_on):
    work_on("one")
    mine = build("whole")
    assert list_shared() == []
    assert find() == (mine, False, 0)
    work_on("two")
    assert text_of(find().folder) == "whole"


def test_two_that_built_the_same_agree_on_the_first(shared, work_on):
    work_on("one")
    share(build("first"))
    before = files_in(shared)
    work_on("two")
    mine = build("second")
    agreed = share(mine)
    assert text_of(agreed) == "first"
    assert agreed != mine
    assert find() == (agreed, False, 0)
    assert files_in(shared) == before
    work_on("three")
    mine = build("first")
    assert share(mine) == mine


def test_of_many_uploads_at_once_one_wins_and_leaves_its_files_alone(in_bucket):
    folders = [build(str(number)) for number in range(6)]
    bucket = open_bucket()
    with ThreadPoolExecutor(6) as pool:
        entries = list(pool.map(lambda folder: bucket.upload(STAGE, KEY, 1, folder), folders))
    assert len({entry.folder for entry in entries}) == 1
    assert {name.split("/")[2] for name in files_in(in_bucket) if name.startswith("stage-files/")} == {entries[0].folder}
    assert bucket.download(STAGE, entries[0], home() / "copy")


def test_a_first_that_does_not_hear_that_it_was_keeps_its_files(in_bucket, monkeypatch):
    bucket = open_bucket()
    write = bucket.root.filesystem.pipe_file

    def write_and_repeat(*arguments, **options):
        write(*arguments, **options)
        return write(*arguments, **options)

    monkeypatch.setattr(bucket.root.filesystem, "pipe_file", write_and_repeat)
    entry = bucket.upload(STAGE, KEY, 1, build("whole"))
    assert bucket.download(STAGE, entry, home() / "copy")


def flip_a_byte(url):
    rewrite(page_in(url), b"whale")


def remove_a_file(url):
    filesystem, path = fsspec.core.url_to_fs(page_in(url))
    filesystem.rm(path)


def break_the_entry(url):
    rewrite(f"{url}/stage-results/{STAGE}/{KEY}/1.json", b'{"folder": ')


def lead_out_of_the_folder(url):
    entry = open_bucket().read_entry(STAGE, KEY, 1).model_dump()
    files = {f"../../../{name}": told for name, told in entry["files"].items()}
    rewrite(f"{url}/stage-results/{STAGE}/{KEY}/1.json", json.dumps({**entry, "files": files}).encode())


@pytest.mark.parametrize("damage", [flip_a_byte, remove_a_file, break_the_entry, lead_out_of_the_folder])
def test_damage_in_the_bucket_is_noticed_and_superseded(shared, work_on, damage):
    work_on("one")
    share(build("whole"))
    damage(shared)
    work_on("two")
    assert find() == (None, False, 1)
    assert [path for path in home().rglob("*") if path.is_file() and path.suffix != ".lock"] == []
    assert share(build("again"), beyond=1).name == f"{KEY}.1"
    work_on("three")
    assert text_of(find().folder) == "again"


def test_a_machine_with_another_whole_result_mends_the_bucket(in_bucket, work_on):
    work_on("one")
    share(build("whole"))
    flip_a_byte(in_bucket)
    work_on("two")
    mine = build("mine")
    assert find() == (mine, False, 0)
    work_on("three")
    assert text_of(find().folder) == "mine"


def test_an_upload_that_ends_early_is_not_seen_and_goes_after_a_day(in_bucket, work_on, monkeypatch):
    work_on("one")
    folder = build("whole")

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(open_bucket().root.filesystem, "pipe_file", stop)
        with pytest.raises(KeyboardInterrupt):
            share(folder)
    assert len(files_in(in_bucket)) == 3
    work_on("two")
    assert find() == (None, False, 0)
    (left,) = list_shared()
    assert (left.group, left.leftover) == (STAGE, True)
    assert prune_shared(timedelta(0)) == []
    aged = f"stage-files/{STAGE}/{KEY}.{datetime.now(UTC) - 1.1 * DAY:%Y%m%dT%H%M%SZ}.{32 * '0'}"
    rewrite(f"{in_bucket}/{aged}/half.npy", b"half")
    assert [one.path.partition("/")[2] for one in prune_shared(30 * DAY)] == [aged]
    assert list_shared() == [left]


def test_what_is_built_by_force_is_what_counts_on_every_machine(shared, work_on):
    work_on("one")
    share(build("old"))
    work_on("two")
    assert text_of(find().folder) == "old"
    work_on("one")
    assert find(force=True) == (None, False, 1)
    share(build("new"), beyond=1)
    work_on("two")
    assert text_of(find().folder) == "new"


def used_at(url, entry, moment):
    rewrite(f"{url}/stage-files/{STAGE}/{entry.folder}/.last-used", moment.isoformat().encode())


def test_prune_goes_by_the_last_use_on_any_machine(shared, work_on):
    work_on("one")
    for key, days in (("old", 31), ("fresh", 29)):
        share(build(key, key), key=key)
        used_at(shared, open_bucket().read_entry(STAGE, key, 1), datetime.now(UTC) - days * DAY)
    old, fresh = list_shared()
    assert old.bytes > len("old")
    assert open_bucket().remove_unused(old, since=datetime.now(UTC) - 40 * DAY) is False
    assert prune_shared(30 * DAY) == [old]
    assert all("/fresh" in name for name in files_in(shared))
    work_on("two")
    find(key="fresh")
    assert prune_shared(30 * DAY) == prune_shared(DAY) == []
    assert fresh.path == prune_shared(timedelta(0))[0].path
    assert files_in(shared) == []


def test_an_entry_without_its_files_is_pruned_and_one_being_written_is_not(in_bucket, work_on):
    share(build("whole"))
    filesystem, path = fsspec.core.url_to_fs(f"{in_bucket}/stage-files")
    filesystem.rm(path, recursive=True)
    (left,) = prune_shared(30 * DAY)
    assert left.leftover
    assert files_in(in_bucket) == []


def test_what_is_not_of_this_project_is_neither_shown_nor_removed(in_bucket):
    names = ["notes.txt", "stage-files/mine/old/notes.txt", "stage-files/notes.txt", "stage-results/mine/notes.json"]
    for name in names:
        rewrite(f"{in_bucket}/{name}", b"mine")
    assert list_shared() == prune_shared(timedelta(0)) == []
    assert files_in(in_bucket) == names


def test_results_kept_elsewhere_are_not_shared(in_bucket, tmp_path):
    with results_below(tmp_path / "elsewhere"):
        share(build("whole"))
    assert files_in(in_bucket) == []


def test_a_handle_of_another_machine_finds_its_folder_here(shared, work_on):
    work_on("one")
    mine = build("whole")
    share(mine)
    handle = StageOutput(path=str(mine), sha256="whole")
    with localized(handle) as here:
        assert here == handle
    home().rename(home().with_name("one, out of reach"))
    work_on("two")
    share(build("newer"), beyond=1)
    for _ in range(2):
        with localized(handle) as here:
            assert here.sha256 == "whole"
            assert here.file("data docs/page.html").is_relative_to(home())
            assert here.file("data docs/page.html").read_text() == "whole"
    assert len(result_folders(STAGE, KEY)) == 2
    with (
        pytest.raises(StorageError, match=rf"{STAGE} result .* is not on this machine, and not in {shared} either"),
        localized(handle.model_copy(update={"sha256": "other", "path": "/gone/stages/padding validation/0123456789abcdef.1"})),
    ):
        pass


def test_a_handle_whose_folder_is_nowhere_is_told_without_a_bucket_too():
    handle = StageOutput(path="/gone/stages/padding/abc.1", sha256="0")
    with pytest.raises(StorageError, match=r"padding result /gone.* and REPRISE_HOME names no bucket"), localized(handle):
        pass


@pytest.mark.parametrize(
    ("url", "error", "told"),
    [
        (
            "s3://no-such-bucket/home",
            StorageError,
            "^REPRISE_HOME s3://no-such-bucket/home: there is no bucket no-such-bucket$",
        ),
        ("s3://", InputError, "^REPRISE_HOME s3:// names no bucket or folder$"),
        ("s3://key:secret@bucket", InputError, "^REPRISE_HOME carries a user, a password or a query: .* the environment$"),
        ("https://host/x?X-Amz-Signature=secret", InputError, "^REPRISE_HOME carries"),
        ("nowhere://bucket", InputError, "nowhere"),
    ],
)
def test_a_home_that_cannot_be_used_is_told_in_one_line(s3_bucket, monkeypatch, url, error, told):
    monkeypatch.setenv("REPRISE_HOME", url)
    with pytest.raises(error, match=told) as raised:
        find()
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_credentials_are_told_in_one_line(in_bucket, new_connection, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(StorageError, match=f"^REPRISE_HOME {in_bucket}: .*Unable to locate credentials; set AWS_ACCESS_KEY_ID"):
        find()


def test_a_bucket_that_does_not_answer_is_told_in_one_line_and_nothing_is_built(in_bucket, new_connection, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match=f'^REPRISE_HOME {in_bucket}: .*Could not connect .*"http://127.0.0.1:9/'):
        find()


def test_the_workspace_beside_a_url_is_a_folder_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("REPRISE_HOME", "s3://bucket/prefix")
    monkeypatch.chdir(tmp_path)
    assert home() == tmp_path / ".reprise"
    monkeypatch.setenv("REPRISE_LOCAL", str(tmp_path / "fast"))
    assert home() == tmp_path / "fast"
    monkeypatch.setenv("REPRISE_LOCAL", "s3://bucket/local")
    with pytest.raises(InputError, match="REPRISE_LOCAL is a URL"):
        home()


def test_an_entry_names_no_file_outside_its_folder():
    for name in ("/etc/passwd", "../x", "a/../../x", ""):
        with pytest.raises(ValueError, match="no path below a folder"):
            Entry(folder="a", files={name: (0, "")})


def cache(*arguments):
    result = CliRunner().invoke(app, ["cache", *arguments], env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_the_cache_commands_show_and_prune_what_is_shared(in_bucket, work_on):
    work_on("one")
    share(build("whole"))
    work_on("two")
    told = cache()
    assert "The cache is empty" in told
    assert re.search(rf"{STAGE} +1 +\d+ bytes +{time.strftime('%Y-%m-%d', time.gmtime())}", told)
    shown = json.loads(cache("--json"))
    assert (shown["bytes"], shown["shared"]["place"]) == (0, in_bucket)
    assert [(group["name"], group["folders"]) for group in shown["shared"]["groups"]] == [(STAGE, 1)]
    assert shown["shared"]["bytes"] > 10
    assert f"0 shared removed, 0 bytes freed in {in_bucket}." in cache("prune", "--older-than", "1h").replace("\n", "")
    pruned = json.loads(cache("prune", "--older-than", "0h", "--json"))
    assert [one["group"] for one in pruned["shared"]["removed"]] == [STAGE]
    assert files_in(in_bucket) == []


def test_an_output_is_written_whole_to_a_bucket_or_a_folder(s3_bucket, tmp_path):
    for output in (f"{s3_bucket}/reports/run.json", str(tmp_path / "run.json"), f"file://{tmp_path}/other.json"):
        require_writable("--report", output)
        for text in ("first", "ü"):
            write_output("--report", output, text)
            with fsspec.open(output, "rb") as file:
                assert file.read() == text.encode()
    assert sorted(path.name for path in Path(tmp_path).iterdir() if path.is_file()) == ["other.json", "run.json"]


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("s3://no-such-bucket/run.json", "^--report s3://no-such-bucket/run.json: there is no bucket no-such-bucket$"),
        ("s3://me:secret@bucket/run.json", "^--report carries a user"),
        ("{bucket}", r"^--report s3://team-\w+ is a bucket, not a file in it$"),
        ("file:///no/where/run.json", "^--report file:///no/where/run.json: there is no folder /no/where$"),
        ("no/where/run.json", "^--report no/where/run.json: there is no folder no/where$"),
        (".", r"^--report \. is a folder, not a file$"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_beforehand(s3_bucket, output, told):
    with pytest.raises((InputError, StorageError), match=told):
        require_writable("--report", output.format(bucket=s3_bucket))
