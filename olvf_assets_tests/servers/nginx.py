"""The reverse proxy as deploy/nginx/olvf.conf sets it up, on ports, files and names of the tests."""

import signal
import subprocess
from pathlib import Path

from olvf_assets_tests.intake.pacs.peers import free_port, tls_files

PROJECT = Path(__file__).parents[2]
SHIPPED = PROJECT / "deploy" / "nginx" / "olvf.conf"
STAFF, ONLOOKER = ("sato", "a password of the staff"), ("guest", "a password of onlookers")
AROUND = """
user root;  # the tests may be root in a namespace only, who can become nobody else
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
    include /etc/nginx/mime.types;
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/olvf.conf;
}}
"""


class RunningNginx:
    """An nginx with the configuration that is shipped.

    Args:
        folder: for its files.
        reports: the folder that it serves as /reports/.
        staff_port: where the writing UI is.
        look_port: where the read-only UI is.
    """

    def __init__(self, folder: Path, reports: Path, staff_port: int, look_port: int) -> None:
        folder.mkdir()
        self.folder, self.port = folder, free_port()
        self.certificate, key = tls_files(folder)
        (folder / "staff").write_text(_line(*STAFF))
        (folder / "everyone").write_text(_line(*STAFF) + _line(*ONLOOKER))
        text = SHIPPED.read_text()
        for shipped, ours in {
            "    listen [::]:443 ssl default_server;\n": "",
            "    listen [::]:443 ssl;\n": "",
            "listen 443 ssl": f"listen {self.port} ssl",
            "olvf.hospital.example": "localhost",
            "/etc/nginx/olvf.pem": str(self.certificate),
            "/etc/nginx/olvf.key": str(key),
            "/etc/nginx/olvf.staff": f"{folder}/staff",
            "/etc/nginx/olvf.everyone": f"{folder}/everyone",
            "/srv/olvf/data/reports/": f"{reports}/",
            "127.0.0.1:3000": f"127.0.0.1:{staff_port}",
            "127.0.0.1:3001": f"127.0.0.1:{look_port}",
        }.items():
            assert shipped in text, shipped
            text = text.replace(shipped, ours)
        (folder / "olvf.conf").write_text(text)
        (folder / "nginx.conf").write_text(AROUND.format(folder=folder))
        command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        subprocess.run([*command, "-t"], check=True, capture_output=True)
        self._process = subprocess.Popen([*command, "-g", "daemon off;"])
        self.url = f"https://localhost:{self.port}"

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=20)


def _line(user: str, password: str) -> str:
    """Return a line of a file of users, by the command of docs/security.md."""
    made = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True
    )
    return f"{user}:{made.stdout}"
