"""A real PostgreSQL of its own, on a port of loopback."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from olvf_assets_tests.intake.pacs.peers import free_port

USER, PASSWORD = "olvf", "a password of the tests"
# The server refuses to run as root: it gets a user of its own, who owns what root owns here.
AS_SOMEBODY = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


class RunningPostgres:
    """A cluster in a folder, without any other user's help.

    Args:
        folder: where it keeps what it stores.
    """

    def __init__(self, folder: Path) -> None:
        self.port, self._folder = free_port(), folder
        folder.mkdir(mode=0o700)
        (self._programs,) = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
        (folder / "password").write_text(PASSWORD)
        self._call("initdb", "-U", USER, "--auth=scram-sha-256", f"--pwfile={folder / 'password'}", "-N", "-E", "UTF8")
        with (folder / "cluster" / "postgresql.conf").open("a") as settings:
            settings.write(
                f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = ''\nfsync = off\n"
            )

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._call("pg_ctl", "-w", "-l", str(self._folder / "log"), "start")

    def stop(self) -> None:
        """Stop it; connections are cut."""
        self._call("pg_ctl", "-w", "-m", "fast", "stop")

    def _call(self, program: str, *words: str) -> None:
        command = [*AS_SOMEBODY, str(self._programs / program), "-D", str(self._folder / "cluster"), *words]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        done = subprocess.run(command, **quiet, stderr=subprocess.PIPE, check=False, env=environment)
        assert done.returncode == 0, done.stderr.decode()

    @property
    def variables(self) -> dict[str, str]:
        """Return what `dagster.postgres.yaml` asks for."""
        said = {"HOST": "127.0.0.1", "PORT": str(self.port), "DATABASE": "postgres", "USER": USER, "PASSWORD": PASSWORD}
        return {f"OLVF_POSTGRES_{name}": value for name, value in said.items()}


@contextmanager
def running(folder: Path) -> Iterator[RunningPostgres]:
    """Run one for the time of a `with` block."""
    server = RunningPostgres(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
