"""How `make test-servers` comes by its programs, on PATHs of small fake ones; it never passes without them."""

import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
SERVERS = PROJECT / "olvf_assets_tests" / "servers"
TOOLS = ("bash", "cat", "dirname", "env", "grep", "mktemp", "rm", "tail")


class Machine:
    """A copy of the second circle's list and script, and a PATH of tools."""

    def __init__(self, root: Path) -> None:
        self.programs, self.log, self.script = root / "bin", root / "log", root / "servers" / "install.sh"
        shutil.copytree(SERVERS, self.script.parent)
        self.programs.mkdir()
        for name in TOOLS:
            (self.programs / name).symlink_to(str(shutil.which(name)))

    def program(self, name: str, script: str) -> None:
        path = self.programs / name
        path.write_text(f"#!{shutil.which('bash')}\n{script}\n")
        path.chmod(0o755)

    def run(self) -> tuple[int, list[str]]:
        done = subprocess.run(
            [self.script], env={"PATH": str(self.programs)}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        return done.returncode, (done.stdout + done.stderr).splitlines()


@pytest.fixture
def debian(tmp_path: Path) -> Machine:
    """A Debian machine that has every package but dcmtk and zip, used by root."""
    machine = Machine(tmp_path)
    machine.program(
        "dpkg-query", 'case "${@: -1}" in dcmtk) exit 1 ;; zip) echo config-files ;; *) echo installed ;; esac'
    )
    machine.program("id", "echo 0")
    machine.program("apt-get", f'echo "$*" >> "{machine.log}"')
    return machine


def test_missing_packages_are_named_and_installed(debian: Machine) -> None:
    assert debian.run() == (0, ["test-servers: installs the Debian packages dcmtk zip"])
    update, install = debian.log.read_text().splitlines()
    assert update.endswith(" update")
    assert install.endswith(" install dcmtk zip")


def test_with_every_package_nothing_is_done(debian: Machine) -> None:
    debian.program("dpkg-query", "echo installed")
    assert debian.run() == (0, [])
    assert not debian.log.exists()


def test_without_root_sudo_installs_and_without_both_one_line_says_so(debian: Machine) -> None:
    debian.program("id", "echo 1000")
    missing = "test-servers: the Debian packages dcmtk zip are missing, and installing them needs root or sudo"
    assert debian.run() == (1, [missing])
    debian.program("sudo", "exit 1")  # asks for a password, and nobody is there
    assert debian.run() == (1, [missing])
    debian.program("sudo", '[ "$1" = --non-interactive ] && shift; [ "$1" = true ] || exec "$@"')
    assert debian.run() == (0, ["test-servers: installs the Debian packages dcmtk zip"])
    assert debian.log.read_text().splitlines()[1].endswith(" install dcmtk zip")


def test_an_installation_that_fails_is_one_line(debian: Machine) -> None:
    debian.program("apt-get", "echo 'Reading'; echo 'E: Unable to locate package dcmtk' >&2; echo 'E: more'; exit 100")
    status, said = debian.run()
    assert status == 1
    assert said[1:] == [
        "test-servers: the Debian packages dcmtk zip could not be installed: E: Unable to locate package dcmtk"
    ]


@pytest.mark.parametrize("server", ["orthanc", "nginx", "postgresql"])
def test_a_server_that_was_installed_does_not_start_by_itself(debian: Machine, server: str) -> None:
    debian.program("dpkg-query", f'case "${{@: -1}}" in {server}) exit 1 ;; *) echo installed ;; esac')
    for name in ("systemctl", "update-rc.d", "tee", "chmod"):
        debian.program(name, f'echo "{name} $*" >> "{debian.log}"')
    assert debian.run() == (0, [f"test-servers: installs the Debian packages {server}"])
    assert debian.log.read_text().splitlines()[-2:] == [f"systemctl disable {server}", f"update-rc.d {server} disable"]


def test_a_machine_that_is_no_debian_is_one_line(debian: Machine) -> None:
    (debian.programs / "apt-get").unlink()
    status, said = debian.run()
    assert (status, len(said)) == (1, 1)
    assert "needs a Debian system" in said[0]


def test_the_first_circle_leaves_the_second_out_and_ci_runs_both(pytestconfig: pytest.Config) -> None:
    assert SERVERS.name in pytestconfig.getini("norecursedirs")
    commands = [line for line in (PROJECT / ".ci" / "run").read_text().splitlines() if line.startswith("make")]
    assert commands == ["make test", "make test-servers"]
