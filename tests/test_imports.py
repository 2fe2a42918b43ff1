import subprocess
import sys
import time

from tasks.imports import import_ahead


def write_module(folder, name, text):
    (folder / f"{name}.py").write_text(text)
    return name


def test_modules_are_imported_one_after_the_other_without_waiting(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    slow = write_module(tmp_path, "ahead_slow", "import time\ntime.sleep(0.5)\n")
    quick = write_module(tmp_path, "ahead_quick", "import sys\nassert 'ahead_slow' in sys.modules\n")
    start = time.perf_counter()
    import_ahead(slow, quick)
    assert time.perf_counter() - start < 0.4
    import ahead_quick  # noqa: F401
    import ahead_slow  # noqa: F401


def test_a_module_that_cannot_be_imported_is_told_by_the_one_who_needs_it(tmp_path):
    code = (
        "from tasks.imports import import_ahead\n"
        "import_ahead('no_such_module', 'json')\n"
        "try:\n import no_such_module\nexcept ImportError as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout == "No module named 'no_such_module'\n"
    assert run.stderr == ""
