"""A process that has loaded the study view and starts each run as a fork of itself: no run waits for imports.

What lives here: that process (`python nursery.py HANDLE`), and `Nursery`, its other end. What does not: what is run and
when it is killed. A run is `dagster asset materialize`, the very command, in a process group of its own.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

STEP_BEGINS = "STEP_START"
LONGEST_S = 1800.0


class NurseryError(Exception):
    """The process that starts the runs is gone, or a run does not end."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: exit status; negative: the signal that ended it.
        output: all that it printed.
        seconds: from the start of its first step to its end; of the whole run where no step began.
    """

    status: int
    output: str
    seconds: float


class Nursery:
    """Runs of one data folder.

    Args:
        environment: what the runs see: OLVF_DATA, DAGSTER_HOME, OLVF_PROFILE ...
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self._socket, far = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(far.fileno())], pass_fds=[far.fileno()], env=environment
        )
        far.close()
        self._lines = self._socket.makefile("r")
        self._answer()  # it has loaded the study view

    def run(
        self,
        assets: str,
        *,
        force: str = "",
        wait: bool = False,
        before: Callable[[int], None] = lambda group: None,
        heard: Mapping[str, Callable[[int], None]] | None = None,
        kill_after_s: float | None = None,
    ) -> Outcome:
        """Run `dagster asset materialize --select <assets>` and wait until its last process is gone.

        Args:
            assets: the selection.
            force: OLVF_FORCE: the table that is made again though it stands.
            wait: for another run that holds the data folder, in place of giving up at once.
            before: told the process group before anything is run in it.
            heard: by words, who is told the process group as soon as the run has printed them.
            kill_after_s: kill the whole group so long after its first step began.

        Raises:
            NurseryError: the run does not end.
        """
        reading, writing = os.pipe()
        asked = json.dumps({"assets": assets, "force": force, "wait": wait})
        socket.send_fds(self._socket, [asked.encode() + b"\n"], [writing])
        os.close(writing)
        group = int(self._answer())
        before(group)
        start = time.monotonic()
        self._socket.sendall(b"go\n")
        begun: float | None = None
        todo = dict(heard or {})
        output = bytearray()
        while True:
            now = time.monotonic()
            end = begun + kill_after_s if begun is not None and kill_after_s is not None else start + LONGEST_S
            ready, _, _ = select.select([reading], [], [], max(0.0, end - now))
            if ready:
                part = os.read(reading, 65536)
                if not part:
                    break
                output += part
                if begun is None and STEP_BEGINS.encode() in output:
                    begun = time.monotonic()
                for words in [each for each in todo if each.encode() in output]:
                    todo.pop(words)(group)
                continue
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
            if end == start + LONGEST_S:
                raise NurseryError(f"a run of {assets} did not end in {LONGEST_S:.0f} s:\n{output[-2000:].decode()}")
            kill_after_s = None
        os.close(reading)
        return Outcome(int(self._answer()), output.decode(errors="replace"), time.monotonic() - (begun or start))

    def close(self) -> None:
        """End the process that starts the runs."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait()

    def _answer(self) -> str:
        line = self._lines.readline()
        if not line:
            raise NurseryError(f"the process that starts the runs has ended with status {self._process.wait()}")
        return line.strip()


def _start_runs(handle: int) -> None:
    """Load the study view, then start one run a line, until the other end is closed."""
    from dagster import build_init_resource_context
    from dagster._cli.asset import asset_materialize_command

    from olvf_assets.orchestration.resources import LakeResource
    from olvf_assets.study import defs

    LakeResource(base_dir="nowhere").create_io_manager(build_init_resource_context())  # loads what each run would
    defs.get_repository_def().get_all_jobs()
    near = socket.socket(fileno=handle)
    near.sendall(b"ready\n")
    while True:
        text, handles, _, _ = socket.recv_fds(near, 65536, 1)
        if not text:
            return
        waiting, going = os.pipe()
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            os.close(going)
            os.read(waiting, 1)
            near.close()
            for each in (1, 2):
                os.dup2(handles[0], each)
            os.close(handles[0])
            asked = json.loads(text)
            os.environ["OLVF_FORCE"] = asked["force"]
            os.environ["OLVF_WAIT"] = "1" if asked["wait"] else "0"
            selection = ["-m", "olvf_assets.study", "--select", asked["assets"]]
            asset_materialize_command.main(selection, prog_name="dagster")
        for each in (*handles, waiting):
            os.close(each)
        near.sendall(f"{child}\n".encode())
        near.recv(16)
        os.close(going)
        _, status = os.waitpid(child, 0)
        near.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    _start_runs(int(sys.argv[1]))
