import os
import sys

import pytest

from tasks.circumstances import processor_name, read_circumstances


def test_all_that_can_change_weights_is_named(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = read_circumstances()
    assert {f"package.{name}" for name in ("tensorflow", "keras", "numpy", "pandas", "pyarrow")} < set(found)
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["git.dirty"] in ("true", "false", "unknown")
    assert len(found["code.sha256"]) == 64
    assert found["environment"] == "TF_ENABLE_ONEDNN_OPTS=0 OMP_NUM_THREADS=1"
    assert all(found.values())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which cores a process may use")
def test_cores_are_those_that_the_process_may_use():
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert read_circumstances()["cpu.cores"] == "1"
    finally:
        os.sched_setaffinity(0, allowed)


def test_the_processor_is_named_as_the_kernel_names_it(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel\t\t: 1\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu\n\nprocessor\t: 1\n")
    assert processor_name(cpuinfo) == "Some CPU @ 2 GHz"
    cpuinfo.write_text("processor\t: 0\nFeatures\t: asimd\n")
    assert processor_name(cpuinfo) is None
    assert processor_name(tmp_path / "none") is None
