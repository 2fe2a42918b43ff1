import threading
import time

from configs.schema import DataConfig
from tasks.ingestion.settling import PATIENCE, settled_digest
from tasks.ingestion.source import source_digest


def write_often(path, times, pause):
    def write():
        for number in range(times):
            path.write_text(f"text,label\nreview {number},1\n")
            time.sleep(pause)

    writer = threading.Thread(target=write)
    writer.start()
    return writer


def test_a_burst_of_writes_is_waited_for_and_the_last_content_counts(tmp_path):
    data = DataConfig(source="table", path=str(tmp_path / "reviews.csv"))
    writer = write_often(tmp_path / "reviews.csv", times=8, pause=0.05)
    time.sleep(0.02)
    found = settled_digest(data, 0.3)
    assert not writer.is_alive()
    assert found == source_digest(data)


def test_what_never_keeps_still_is_left_to_a_later_look(tmp_path):
    writer = write_often(tmp_path / "reviews.csv", times=40, pause=0.02)
    time.sleep(0.02)
    assert settled_digest(DataConfig(source="table", path=str(tmp_path / "reviews.csv")), 0.5 / PATIENCE) is None
    writer.join()
