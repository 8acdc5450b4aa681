"""The units that ship, looked at by systemd itself."""

import shutil
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[2]
UNITS = PROJECT / "deploy" / "systemd"
INSTALLED = "/opt/olvf/deploy/run.sh"
MOST_EXPOSED = 25  # of 100


def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    names = sorted(path.name for path in UNITS.glob("olvf-*"))
    assert names == [
        "olvf-back-up.service",
        "olvf-back-up.timer",
        "olvf-code.service",
        "olvf-daemon.service",
        "olvf-webserver.service",
    ]
    for name in names:
        text = (UNITS / name).read_text()
        assert INSTALLED in text or name.endswith(".timer")
        (tmp_path / name).write_text(text.replace(INSTALLED, str(PROJECT / "deploy" / "run.sh")))
    command = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_the_services_are_shut_in(tmp_path: Path) -> None:
    for unit in UNITS.glob("*.service"):
        shutil.copy(unit, tmp_path)
        command = [
            "systemd-analyze",
            "security",
            "--offline=true",
            f"--threshold={MOST_EXPOSED}",
            str(tmp_path / unit.name),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-300:]
