"""The second circle: tests beside real programs. It runs whole or fails; nothing in it is skipped."""

import shutil

import pytest

# at least one of each of packages.txt
PROGRAMS = ("7zz", "chromedriver", "chromium", "dcmcjpeg", "dcmdump", "dciodvfy", "unzip", "zip")


def pytest_sessionstart(session: pytest.Session) -> None:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.exit(f"not on PATH: {', '.join(missing)}; `make test-servers` installs them", returncode=1)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:
        pytest.exit(f"{report.nodeid} was skipped; a circle that does not run whole has failed", returncode=1)
