"""What can be known of the lock without a network: it is whole, and no package of it is older than a flaw's mending."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
FLOORS = {
    "aiohttp": ("3.12.14", "CVE-2025-53643"),
    "cryptography": ("44.0.1", "CVE-2024-12797"),
    "filelock": ("3.20.1", "CVE-2025-68146"),
    "flask-cors": ("6.0.0", "CVE-2024-6844"),
    "gunicorn": ("23.0.0", "CVE-2024-6827"),
    "h11": ("0.16.0", "CVE-2025-43859"),
    "jinja2": ("3.1.6", "CVE-2025-27516"),
    "keras": ("3.12.0", "CVE-2025-1550, -8747, -9906, -12058, -12060"),
    "pillow": ("11.3.0", "CVE-2025-48379"),
    "prefect": ("3.6.22", "CVE-2026-7722, -7723"),
    "protobuf": ("6.31.1", "CVE-2025-4565"),
    "pyarrow": ("14.0.1", "CVE-2023-47248"),
    "ray": ("2.52.0", "CVE-2025-62593"),
    "requests": ("2.32.4", "CVE-2024-47081"),
    "setuptools": ("78.1.1", "CVE-2025-47273"),
    "sqlparse": ("0.5.0", "CVE-2024-4340"),
    "starlette": ("0.49.1", "CVE-2025-54121, -62727"),
    "tornado": ("6.5", "CVE-2025-47287"),
    "urllib3": ("2.6.0", "CVE-2025-50181, -66418, -66471"),
    "werkzeug": ("3.0.6", "CVE-2024-34069, -49766, -49767"),
}
"""The least version of a package without the flaws that are named; to be added to whenever an audit finds one."""


@pytest.fixture(scope="module")
def locked():
    """Each line of the lock as a requirement, with its hashes."""
    entries = re.split(r"^(?=[A-Za-z0-9])", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)
    return [(Requirement(entry.split("\\", 1)[0].strip()), re.findall(r"--hash=(\S+)", entry)) for entry in entries if entry]


def test_each_package_has_one_version_and_the_hashes_of_its_files(locked):
    assert len(locked) > 200
    for requirement, hashes in locked:
        (version,) = requirement.specifier
        assert version.operator == "=="
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), requirement
        assert requirement.url is None


def test_no_package_is_older_than_the_mending_of_a_known_flaw(locked):
    versions = {}
    for requirement, _ in locked:
        (version,) = requirement.specifier
        versions.setdefault(canonicalize_name(requirement.name), []).append(Version(version.version))
    flawed = [
        f"{name} {version} is below {floor}: {flaws}"
        for name, (floor, flaws) in FLOORS.items()
        for version in versions.get(name, [])
        if version < Version(floor)
    ]
    assert flawed == []
    assert FLOORS.keys() <= versions.keys()  # one that is not needed any more is to go from here
