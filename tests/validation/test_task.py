import subprocess
import sys


def test_importing_the_stages_does_not_import_great_expectations():
    code = "import sys, tasks.validation.task; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
