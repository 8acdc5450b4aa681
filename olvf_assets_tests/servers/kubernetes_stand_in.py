"""A stand-in for the batch API of Kubernetes: each Job is a process of this machine.

What lives here: what `k8s_job_executor` asks such an API. What does not: pods, images, nodes; no cluster is to be had.
"""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
NAMESPACE = "olvf"


class Batch(ThreadingHTTPServer):
    """The API, on a port of loopback; `jobs` holds each manifest that came, `processes` what became of it.

    Args:
        environment: of the image.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.environment = environment
        self.jobs: dict[str, dict[str, Any]] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, manifest: dict[str, Any]) -> None:
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        said = {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}
        name = manifest["metadata"]["name"]
        self.jobs[name] = manifest
        self.processes[name] = subprocess.Popen(container["args"], cwd=PROJECT, env=self.environment | said)

    def told(self, name: str) -> dict[str, Any]:
        """Return a Job as the API shows it."""
        code = self.processes[name].poll()
        status = {"active": 1} if code is None else {"failed": 1} if code else {"succeeded": 1}
        return {**self.jobs[name], "status": status}


class _Answers(BaseHTTPRequestHandler):
    server: Batch

    def do_POST(self) -> None:
        manifest = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.start(manifest)
        self._say(201, manifest)

    def do_GET(self) -> None:
        name = self.path.removesuffix("/status").rpartition("/")[2]
        self._say(200, self.server.told(name)) if name in self.server.jobs else self._say(404, {})

    def _say(self, code: int, found: dict[str, Any]) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def batch_api(folder: Path, environment: dict[str, str]) -> Iterator[tuple[Batch, Path]]:
    """Yield such an API and the file that tells a client where it is, for the time of a `with` block."""
    with Batch(environment) as api:
        threading.Thread(target=api.serve_forever, daemon=True).start()
        where = {"server": f"http://127.0.0.1:{api.server_port}"}
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": where}], "users": [{"name": "nobody", "user": {}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "nobody"}}],
        }  # fmt: skip
        (folder / "kubeconfig").write_text(json.dumps(config))
        try:
            yield api, folder / "kubeconfig"
        finally:
            for each in api.processes.values():
                each.kill()
                each.wait()
            api.shutdown()
