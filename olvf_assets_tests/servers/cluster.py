"""Two hosts that a cluster of Ray spans: this one, and a second one with a network and a disk of its own.

What lives here: starting, ending and killing them. What does not: what must hold (`test_ray.py`). Whatever is started
is ended by its own process; everything listens in the tests' own network and asks for a token.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from olvf_assets_tests.intake.pacs.peers import free_port
from olvf_assets_tests.servers.postgres import running as running_postgres
from olvf_assets_tests.servers.seaweedfs import BUCKET
from olvf_assets_tests.servers.seaweedfs import running as running_store

PROJECT = Path(__file__).parents[2]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
HEAD = "10.99.2.1"  # on loopback: the cable goes with the host at its other end
CABLE, SECOND = "10.99.3.1", "10.99.3.2"
PATIENCE_S = 90.0
# What a new host's first process does: its disk is empty where the study's data lie, and it waits for its cable.
BOOT = """
mount -t tmpfs none {data} && mount -t tmpfs none {temporary} && ip link set lo up || exit 1
until ip link set olvf1 up 2>/dev/null; do read -t 0.05 < <(:) || true; done
ip address add {own}/24 dev olvf1 && ip route add {head} via {cable} && exec "$@"
"""
QUICKLY = {  # a node that is gone is noticed after 3 s in place of 18 s
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}


class Cluster:
    """A cluster whose head is this host.

    Args:
        folder: for its logs, sockets and token; a short path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.home = folder, folder / "data", folder / "home"
        self.data.mkdir()
        self.home.mkdir()
        shutil.copy(PROJECT / "dagster.ray.yaml", self.home / "dagster.yaml")
        token = folder / "token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        self.address = f"{HEAD}:{free_port()}"
        own = {name: value for name, value in os.environ.items() if name != "DAGSTER_MODULE_NAME"}  # of env.sh
        self.environment = {
            **own, **QUICKLY, "OLVF_DATA": str(self.data), "OLVF_ENGINE": "ray", "DAGSTER_HOME": str(self.home),
            "PYTHONPATH": str(PROJECT), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0", "RAY_ADDRESS": self.address,
            "OLVF_RAY_JOBS": f"http://{HEAD}:{free_port()}",
        }  # fmt: skip
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def lay_cable(self) -> None:
        """Give this host the network that it shares with the second one."""
        subprocess.run(["ip", "link", "add", "olvf0", "type", "veth", "peer", "name", "olvf1"], check=True)
        subprocess.run(["ip", "address", "add", f"{HEAD}/32", "dev", "lo"], check=True)
        subprocess.run(["ip", "address", "add", f"{CABLE}/24", "dev", "olvf0"], check=True)
        subprocess.run(["ip", "link", "set", "olvf0", "up"], check=True)

    def start_head(self) -> None:
        """Make this host the head of the cluster."""
        ports = [f"--port={self.address.rpartition(':')[2]}", f"--node-ip-address={HEAD}"]
        jobs = [f"--dashboard-host={HEAD}", f"--dashboard-port={self.environment['OLVF_RAY_JOBS'].rpartition(':')[2]}"]
        self._start("head", [], ["--head", *ports, "--num-cpus=1", "--include-dashboard=true", *jobs])

    def start_second(self) -> None:
        """Let a second host join, with an empty disk where this one has the study's data.

        It is a process tree that sees no other: whoever ends its first process switches it off.
        """
        (self.folder / "second").mkdir()
        boot = BOOT.format(data=self.data, temporary=self.folder / "second", own=SECOND, head=HEAD, cable=CABLE)
        unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        program = [*unshare, "bash", "-c", boot, "second"]
        self._start("second", program, [f"--address={self.address}", f"--node-ip-address={SECOND}"])
        # the cable goes to whatever process of that host there is
        first = self.until("the second host is up", lambda: _child(self.running["second"].pid))
        subprocess.run(["ip", "link", "set", "olvf1", "netns", str(first)], check=True)

    def _start(self, name: str, before: list[str], options: list[str]) -> None:
        own = {"RAY_TMPDIR": str(self.folder / name)}
        log = (self.folder / f"{name}.log").open("wb")
        command = [
            *before,
            *RAY,
            "start",
            "--block",
            "--disable-usage-stats",
            f"--object-store-memory={200 << 20}",
            *options,
        ]
        self.running[name] = subprocess.Popen(
            command, cwd=PROJECT, env=self.environment | own, stdout=log, stderr=log, start_new_session=True
        )
        log.close()

    def wait_until_started(self, name: str) -> None:
        """Wait until a node has joined."""
        log = self.folder / f"{name}.log"
        self.until(f"{name} has joined", lambda: b"Ray runtime started" in log.read_bytes())

    def kill(self, name: str) -> None:
        """Switch a host off: nothing on it may do or say anything any more."""
        with suppress(ProcessLookupError):
            os.killpg(self.running[name].pid, signal.SIGKILL)
        self.running.pop(name).wait()

    def until(self, what: str, seen: Callable[[], object]) -> object:
        """Wait until `seen` returns something true, and return that."""
        started, pause = time.monotonic(), threading.Event()
        while not (found := seen()):
            gone = [name for name, process in self.running.items() if process.poll() is not None]
            if gone or time.monotonic() - started > PATIENCE_S:
                logs = "\n".join(log.read_text(errors="replace")[-3000:] for log in self.folder.glob("*.log"))
                raise TimeoutError(f"{what}: not after {time.monotonic() - started:.0f} s, ended: {gone}\n{logs}")
            pause.wait(0.1)
        return found

    def end(self) -> None:
        """Switch the second host off, and end the head."""
        if "second" in self.running:
            self.kill("second")
        for name, process in list(self.running.items()):
            process.terminate()  # it ends what it has started
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill(name)
        self.running.clear()


@contextmanager
def cluster_of_two(folder: Path) -> Iterator[Cluster]:
    """Have a cluster of two hosts for the time of a `with` block.

    They share no folder: the lake lies in an object store of the first host, Dagster's books in its PostgreSQL. The
    second one lends all cores of this machine, the first one a single one, so that of two pieces of work one at least
    goes to the second.

    Args:
        folder: see `Cluster`.
    """
    cluster = Cluster(folder)
    try:
        cluster.lay_cable()
        with running_store(folder / "store", HEAD) as store, running_postgres(folder / "books") as postgres:
            cluster.environment |= {**store.variables, "OLVF_LAKE": f"s3://{BUCKET}/study", **postgres.variables}
            cluster.start_head()
            cluster.wait_until_started("head")
            cluster.start_second()
            cluster.wait_until_started("second")
            yield cluster
            cluster.end()
    finally:
        cluster.end()
        for thing in (["link", "delete", "olvf0"], ["address", "delete", f"{HEAD}/32", "dev", "lo"]):
            subprocess.run(["ip", *thing], check=False, capture_output=True)


def _child(process: int) -> int:
    """Return the only child of a process, 0 if it has none yet."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return int(children[0]) if children else 0
