"""Reading Parquet batch by batch."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.parquet_batches import iterate_batches, open_parquet

TABLE = pa.table({"text": [f"text {number}" for number in range(50)], "label": list(range(50))})


@pytest.mark.parametrize("group", [1, 7, 25, 50])
@pytest.mark.parametrize("rows", [1, 10, 100])
def test_batches_are_the_file_s_rows_in_order(tmp_path, group, rows):
    pq.write_table(TABLE, tmp_path / "a.parquet", row_group_size=group)
    batches = list(iterate_batches(open_parquet(tmp_path / "a.parquet"), rows, ["label"]))
    assert max(map(len, batches)) <= rows
    assert pa.Table.from_batches(batches).combine_chunks() == TABLE.select(["label"])


def test_a_stream_reads_as_its_file_does():
    stream = io.BytesIO()
    pq.write_table(TABLE, stream)
    assert sum(map(len, iterate_batches(open_parquet(stream), 10, ["text"]))) == 50
