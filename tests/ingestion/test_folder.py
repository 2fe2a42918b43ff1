import fsspec
import pytest

from tasks.errors import DataError
from tasks.ingestion.folder import read_folder
from tests.ingestion.conftest import table_of


def read(path):
    return table_of(read_folder(str(path)))


def test_reviews_come_by_part_and_by_name(write_reviews_folder):
    root = write_reviews_folder(count=0)
    for part, name, text in (
        ("train/pos", "10_9.txt", "ten"),
        ("train/pos", "2_8.txt", "two"),
        ("train/neg", "0_1.txt", "a\x85b <br /> née\r\n"),
        ("test/pos", "0_7.txt", "good"),
        ("test/neg", "0_2.txt", ""),
    ):
        (root / part / name).write_bytes(text.encode())
    assert read(root).to_pylist() == [
        {"text": "a\x85b <br /> née\r\n", "label": 0, "split": "train"},
        {"text": "ten", "label": 1, "split": "train"},
        {"text": "two", "label": 1, "split": "train"},
        {"text": "", "label": 0, "split": "test"},
        {"text": "good", "label": 1, "split": "test"},
    ]


def test_what_is_no_review_is_not_read(write_reviews_folder):
    root = write_reviews_folder(count=2)
    before = read(root)
    (root / "train/unsup").mkdir()
    (root / "train/unsup/0_0.txt").write_text("never")
    (root / "train/pos/notes.md").write_text("never")
    (root / "train/labeledBow.feat").write_text("never")
    assert read(root).equals(before)


def test_a_missing_part_is_named(write_reviews_folder):
    root = write_reviews_folder()
    (root / "test/neg").rename(root / "test/negative")
    with pytest.raises(DataError, match=f"no such file: {root}/test/neg$"):
        read(root)


def test_an_empty_part_is_named(write_reviews_folder):
    root = write_reviews_folder(count=0)
    with pytest.raises(DataError, match=f"no .txt files in {root}/train/neg$"):
        read(root)


def test_a_file_that_is_not_utf8_is_named(write_reviews_folder):
    root = write_reviews_folder()
    (root / "train/pos/3_7.txt").write_bytes("née".encode("latin-1"))
    with pytest.raises(DataError, match=r"train/pos/3_7\.txt is not UTF-8: byte 0xe9 at offset 1"):
        read(root)


def test_a_folder_in_another_filesystem_reads_the_same(write_reviews_folder):
    root = write_reviews_folder()
    memory = fsspec.filesystem("memory")
    memory.put(str(root), "/test_folder/aclImdb", recursive=True)
    try:
        assert read("memory://test_folder/aclImdb").equals(read(root))
    finally:
        memory.rm("/test_folder", recursive=True)
