"""A real object store of its own, on ports of loopback or of another address of the tests' network: SeaweedFS."""

import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event

BUCKET, KEY, SECRET = "lake", "KEY-OF-THE-TESTS", "secret-of-the-tests"
PARTS = ("master", "volume", "filer", "s3")
PATIENCE_S = 60.0


class RunningStore:
    """One in a folder.

    Args:
        folder: where it keeps what it stores, and its log.
        address: that it listens on.
    """

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        self._folder, self._address = folder, address
        names = [f"{part}.port{kind}" for part in (*PARTS, "admin") for kind in ("", ".grpc")]
        self._ports = dict(zip(names, _free_ports(len(names)), strict=True))
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "kept").mkdir(parents=True)

    @property
    def variables(self) -> dict[str, str]:
        """Return what says where it is, and with which keys."""
        return {
            "AWS_ENDPOINT_URL": f"http://{self._address}:{self._ports['s3.port']}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Start it and wait until it answers."""
        ports = [f"-{name}={port}" for name, port in self._ports.items()]
        others = ["-webdav=false", "-admin.ui=false", f"-bucket={BUCKET}"]
        command = ["weed", "mini", f"-dir={self._folder / 'kept'}", f"-ip={self._address}",
                   f"-ip.bind={self._address}"]  # fmt: skip
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *ports, *others], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder,
                env={**os.environ, **self.variables},
            )  # fmt: skip
        pause = Event()
        for _ in range(round(PATIENCE_S / 0.2)):
            assert self._process.poll() is None, self.log
            if self._answers():
                return
            pause.wait(0.2)
        raise AssertionError(self.log)

    def stop(self) -> None:
        """Kill it, as a power cut does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    @property
    def log(self) -> str:
        """Return what it said last."""
        return (self._folder / "log").read_text(errors="replace")[-3000:]

    def _answers(self) -> bool:
        """Return whether the bucket is there: without a key it is refused, and before it is made it is not found."""
        try:
            urllib.request.urlopen(f"{self.variables['AWS_ENDPOINT_URL']}/{BUCKET}", timeout=2)
        except urllib.error.HTTPError as error:
            return error.code == 403
        except OSError:
            return False
        return True


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody has, no two of them the same."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


@contextmanager
def running(folder: Path, address: str = "127.0.0.1") -> Iterator[RunningStore]:
    """Run one for the time of a `with` block."""
    store = RunningStore(folder, address)
    store.start()
    try:
        yield store
    finally:
        store.stop()
