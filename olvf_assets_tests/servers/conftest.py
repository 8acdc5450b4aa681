"""The second circle: tests beside real programs. It runs whole or fails; nothing in it is skipped."""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

# at least one of each of packages.txt
PROGRAMS = (
    "7zz", "chromedriver", "chromium", "dcmcjpeg", "dcmdump", "dciodvfy", "ip", "nginx", "openssl", "Orthanc",
    "systemd-analyze", "unshare", "unzip", "weed", "zip",
)  # fmt: skip


def pytest_sessionstart(session: pytest.Session) -> None:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if not any(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        missing.append("postgres")
    if missing:
        pytest.exit(f"not on PATH: {', '.join(missing)}; `make test-servers` installs them", returncode=1)
    if {name for _, name in socket.if_nameindex()} != {"lo"}:
        pytest.exit(
            "the servers of these tests listen on all addresses, so they run on a network of their own: "
            "olvf_assets_tests/servers/alone.sh pytest olvf_assets_tests/servers",
            returncode=1,
        )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:
        pytest.exit(f"{report.nodeid} was skipped; a circle that does not run whole has failed", returncode=1)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser without a window. It trusts certificates that sign themselves, as those of the tests do."""
    options = ChromeOptions()
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1400,900",
        "--ignore-certificate-errors",
    ):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = Chrome(options, ChromeService("/usr/bin/chromedriver"))
    yield browser
    browser.quit()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what tests have measured; files run beside each other, and what a test prints is not shown."""
    for report in terminalreporter.getreports("passed"):
        for name, said in report.user_properties:
            if name == "measured":
                terminalreporter.write_line(str(said))
