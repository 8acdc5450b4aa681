"""`make setup` on machines of every kind: PATHs of small fake interpreters, in a project without packages."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
TOOLS = ("bash", "cat", "cksum", "dirname", "flock", "head", "ls", "make", "mkdir", "rm", "touch")
GOOD = "cpython 3.11 64 bit"
# A fake interpreter: answers what it is, makes environments that hold another one, and lets pip note what it was told.
INTERPRETER = """#!{bash}
case "$*" in
    *sys.implementation*) echo "{kind}" ;;
    *ensurepip*) exit {without_ensurepip} ;;
    *"import pip"*) [ -e "${{0%/*}}/pip" ] ;;
    "-m venv "*)
        {venv}
        mkdir -p "$3/bin"; cat "$0" > "$3/bin/python"; {chmod} +x "$3/bin/python"
        echo made > "$3/pyvenv.cfg"; touch "$3/bin/pip" ;;
    "-m pip install "*) echo "$*" >> "${{0%/*}}/../installed"; {pip} ;;
    *) exit 9 ;;
esac
"""


class Machine:
    """A project folder and a PATH with basic tools and no Python yet."""

    def __init__(self, root: Path) -> None:
        self.project, self.programs = root / "a project", root / "bin"
        self.venv, self.pipe = self.project / ".venv", root / "pipe"
        self.project.mkdir()
        self.programs.mkdir()
        for name in ("Makefile", "setup.sh", "pyproject.toml", "constraints.txt"):
            shutil.copy(PROJECT / name, self.project)
        for name in TOOLS:
            (self.programs / name).symlink_to(str(shutil.which(name)))

    def python(self, name: str, kind: str = GOOD, folder: Path | None = None, **parts: str) -> Path:
        """Put an interpreter on PATH; `parts` are lines of its script."""
        path = (folder or self.programs) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        words = {"without_ensurepip": "0", "venv": ":", "pip": ":", **parts}
        path.write_text(INTERPRETER.format(bash=shutil.which("bash"), chmod=shutil.which("chmod"), kind=kind, **words))
        path.chmod(0o755)
        return path

    def shim(self, name: str) -> None:
        """Put a shim of pyenv on PATH whose version is not chosen."""
        path = self.programs / name
        path.write_text(f"#!{shutil.which('bash')}\necho 'pyenv: {name}: command not found' >&2\nexit 127\n")
        path.chmod(0o755)

    def environment(self, **more: str) -> dict[str, str]:
        return {"PATH": str(self.programs), "HOME": str(self.project), **more}

    def make(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.programs / "make"), "--no-print-directory", "setup", *words]
        return subprocess.run(
            command, cwd=self.project, env=self.environment(**more), capture_output=True, text=True, check=False
        )

    def made(self, *words: str, **more: str) -> str:
        """Return what a set-up that goes well says."""
        done = self.make(*words, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def refused(self, *words: str, **more: str) -> str:
        """Return the one line that a set-up says that goes not well; make adds its own."""
        done = self.make(*words, **more)
        said = (done.stdout + done.stderr).splitlines()
        assert done.returncode != 0
        assert len(said) == 2, said
        assert said[1].startswith("make: ***")
        return said[0]

    def waiting(self) -> str:
        """Return a line of a script that waits until `pipe` was opened for writing and closed."""
        os.mkfifo(self.pipe)
        return f'cat "{self.pipe}" >&2'

    def started(self) -> subprocess.Popen[str]:
        """Start a set-up in a process group of its own."""
        return subprocess.Popen(
            [self.project / "setup.sh", self.venv],
            cwd=self.project,
            env=self.environment(),
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def installs(self, venv: Path | None = None) -> int:
        return len(((venv or self.venv) / "installed").read_text().splitlines())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_environment_is_made_once(machine: Machine) -> None:
    machine.python("python3")
    assert machine.made() == ""
    assert "--constraint constraints.txt --editable .[dev]" in (machine.venv / "installed").read_text()
    machine.made()
    assert machine.installs() == 1


def test_the_python_of_these_tests_can_be_used(machine: Machine) -> None:
    machine.python("python3", f'$("{sys.executable}" "$@")')  # the question is answered by a real one
    machine.made()


@pytest.mark.parametrize(
    "other", ["cpython 3.9 64 bit", "cpython 3.12 64 bit", "cpython 3.11 32 bit", "pypy 3.11 64 bit"]
)
def test_beside_a_python_that_cannot_be_used_python311_is_found(machine: Machine, other: str) -> None:
    machine.python("python3", other)
    machine.python("python3.11")
    machine.made()
    assert machine.installs() == 1


def test_shims_that_do_not_run_are_no_python_and_what_lies_behind_them_is_found(
    machine: Machine, tmp_path: Path
) -> None:
    machine.shim("python3")
    machine.shim("python3.11")
    said = machine.refused()
    assert f"{machine.programs}/python3.11 (does not run)" in said
    assert not machine.venv.exists()
    behind = machine.python("python3.11", folder=tmp_path / "behind").parent
    machine.made(PATH=f"{machine.programs}:{behind}")


def test_without_a_usable_python_one_line_says_what_is_needed(machine: Machine) -> None:
    assert "Python 3.11 is needed (cpython, 64 bit), there is none on PATH" in machine.refused()
    machine.python("python3", "cpython 3.12 64 bit")
    said = machine.refused()
    assert f"{machine.programs}/python3 (cpython 3.12 64 bit)" in said
    assert "apt-get install python3.11-venv" in said
    assert "PYTHON=" in said
    assert not machine.venv.exists()


def test_the_python_that_is_named_is_taken_and_no_other(machine: Machine, tmp_path: Path) -> None:
    machine.python("python3", "cpython 3.10 64 bit")
    named = machine.python("mine", folder=tmp_path / "opt with a space")
    machine.made(f"PYTHON={named}")
    assert machine.installs() == 1
    machine.python("python3.11")
    for wrong, shown in ((machine.programs / "python3", "cpython 3.10 64 bit"), (tmp_path / "nowhere", "does not run")):
        other = tmp_path / "other"
        assert f"{wrong} ({shown})" in machine.refused(f"VENV={other}", PYTHON=str(wrong))
        assert not other.exists()


def test_a_python_without_venv_is_passed_over_or_named(machine: Machine) -> None:
    machine.python("python3", without_ensurepip="1")
    said = machine.refused()
    assert said.endswith(
        f"{machine.programs}/python3 has no modules venv and ensurepip (Debian: apt-get install python3.11-venv)"
    )
    assert not machine.venv.exists()
    machine.python("python3.11")
    machine.made()


def test_nothing_half_made_is_left_when_making_fails(machine: Machine) -> None:
    machine.python("python3", venv='mkdir -p "$3/bin"; exit 1')
    assert f"could not make the environment {machine.venv}" in machine.refused()
    assert not machine.venv.exists()
    machine.python("python3", pip="exit 1")
    assert "the packages could not be installed" in machine.refused()
    assert not machine.venv.exists()
    machine.python("python3")
    machine.made()


@pytest.mark.parametrize("at", ["venv", "pip"])
def test_a_set_up_that_was_killed_is_begun_anew(machine: Machine, at: str) -> None:
    machine.python("python3", **{at: machine.waiting()})
    run = machine.started()
    with machine.pipe.open("w"):  # opens when it is read, in the middle of its work
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    assert machine.venv.exists()
    (machine.venv / "left").touch()
    machine.python("python3")
    assert "is half made or broken and is made anew" in machine.made()
    assert not (machine.venv / "left").exists()
    assert machine.installs() == 1


def test_a_broken_environment_of_the_project_is_made_anew_once_a_python_is_there(machine: Machine) -> None:
    (machine.venv / "bin").mkdir(parents=True)
    (machine.venv / "bin" / "python").symlink_to("/nowhere/python3.11")  # the Python that made it was removed
    machine.refused()
    assert (machine.venv / "bin" / "python").is_symlink()
    machine.python("python3")
    machine.made()
    (machine.venv / "bin" / "pip").unlink()  # killed in ensurepip, by a set-up that left no mark
    (machine.venv / ".olvf-ready").unlink()
    assert "is made anew" in machine.made()


def test_a_project_that_was_copied_with_its_environment_makes_it_anew(machine: Machine, tmp_path: Path) -> None:
    machine.python("python3")
    machine.made()
    shutil.copytree(machine.project, tmp_path / "copy")
    machine.project, machine.venv = tmp_path / "copy", tmp_path / "copy" / ".venv"
    assert "is made anew" in machine.made()
    assert machine.installs() == 1


def test_an_environment_that_others_made_is_completed_and_never_deleted(machine: Machine, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    machine.python("python3")
    machine.python("python", folder=theirs / "bin")
    (theirs / "bin" / "pip").touch()
    machine.made(f"VENV={theirs}")
    assert machine.installs(theirs) == 1
    (theirs / "bin" / "pip").unlink()
    (theirs / ".olvf-ready").unlink()
    assert f"{theirs} is no whole environment of Python: remove it" in machine.refused(VENV=str(theirs))
    (theirs / "bin" / "python").unlink()
    assert f"{theirs} is no whole environment of Python: remove it" in machine.refused(VENV=str(theirs))
    assert theirs.exists()


def test_an_environment_of_another_python_is_named(machine: Machine) -> None:
    machine.python("python3")
    machine.made()
    machine.python("python", "cpython 3.12 64 bit", folder=machine.venv / "bin")
    assert f"{machine.venv} is of cpython 3.12 64 bit, Python 3.11 is needed: remove it" in machine.refused()
    assert (machine.venv / "installed").exists()


def test_other_pins_or_another_project_install_again(machine: Machine, tmp_path: Path) -> None:
    machine.python("python3")
    shared = tmp_path / "shared"
    machine.made(VENV=str(shared))
    (machine.project / "constraints.txt").write_text("polars==1.0\n")
    machine.made(VENV=str(shared))
    assert machine.installs(shared) == 2
    shutil.copytree(machine.project, tmp_path / "clone")
    machine.project = tmp_path / "clone"  # an editable install points to one project
    machine.made(VENV=str(shared))
    assert machine.installs(shared) == 3


def test_a_second_set_up_waits_for_the_first(machine: Machine) -> None:
    machine.python("python3", pip=machine.waiting())
    first = machine.started()
    with machine.pipe.open("w"):
        second = machine.started()
        assert second.stderr is not None
        assert "another one is at work in this folder" in second.stderr.readline()
    assert [run.communicate()[1] for run in (first, second)] == ["", ""]
    assert [first.returncode, second.returncode] == [0, 0]
    assert machine.installs() == 1


def test_an_extra_is_installed_once_and_stays(machine: Machine) -> None:
    machine.python("python3")
    machine.made()
    machine.made("EXTRAS=postgres")
    machine.made("EXTRAS=postgres")
    machine.made()
    assert machine.installs() == 2
    (machine.project / "constraints.txt").write_text("polars==1.0\n")
    machine.made()
    said = (machine.venv / "installed").read_text().splitlines()
    assert [line.split()[-1] for line in said] == [".[dev]", ".[dev,postgres]", ".[dev,postgres]"]


def test_an_extra_that_there_is_not_is_refused(machine: Machine) -> None:
    machine.python("python3")
    assert "pyproject.toml has no extra mysql" in machine.refused("EXTRAS=mysql")
    assert not machine.venv.exists()


def test_the_second_circle_brings_its_extra(machine: Machine) -> None:
    machine.python("python3")
    command = [str(machine.programs / "make"), "--no-print-directory", "test-servers"]  # ends where its scripts are not
    done = subprocess.run(command, cwd=machine.project, env=machine.environment(), capture_output=True, check=False)
    assert done.returncode != 0
    assert (machine.venv / "installed").read_text().split()[-1] == ".[dev,postgres,cluster,test-servers]"
