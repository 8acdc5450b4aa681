"""The reverse proxy with login before both UIs: who gets in, what gets through, and what does not."""

import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from dagster import DagsterInstance
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from olvf_assets.reporting.worklist_page import worklist_page
from olvf_assets_tests.intake.pacs.peers import free_port
from olvf_assets_tests.intake.pacs.web_peer import basic
from olvf_assets_tests.reporting.worklist_films import made_up_hospital
from olvf_assets_tests.servers.nginx import AROUND, ONLOOKER, PROJECT, SHIPPED, STAFF, RunningNginx

ELSEWHERE = "10.99.0.1"  # a second address of this network of our own, as another machine would use it
START_S = 120.0
VERSION = {"query": "{ version }"}
GO_ON = {"query": "mutation { setAutoMaterializePaused(paused: false) }"}
LOCATIONS = {
    "query": "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }"
}
WHO_MAY_SEE = {  # path -> logins that are let in
    "/": (STAFF,),
    "/locations": (STAFF,),
    "/server_info": (STAFF,),
    "/look/": (STAFF, ONLOOKER),
    "/look/locations": (STAFF, ONLOOKER),
    "/reports/index.html": (STAFF, ONLOOKER),
    "/reports/worklists/few/index.html": (STAFF, ONLOOKER),
}


class Servers:
    """Both UIs of a data folder, and the proxy before them."""

    def __init__(self, root: Path) -> None:
        self.reports = root / "data" / "reports"
        hospital = made_up_hospital(root / "data" / "lake")
        shown = {"films": hospital.films, "detected_films": hospital.detected_films, "worklist": hospital.worklist()}
        choices = {"store": hospital.store, "protocol": "patient", "made_up": True, "external": True}
        worklist_page("few", **shown, reports=self.reports, **choices)
        (self.reports / "index.html").write_text("<h1>the report</h1>")
        (root / "data" / "secret").write_text("beside the reports")
        (self.reports / "link").symlink_to(root / "data" / "secret")
        (root / "home").mkdir()
        (root / "home" / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
        with DagsterInstance.from_config(str(root / "home")):
            pass  # two servers that make a home at once hinder each other
        given = os.environ | {
            "OLVF_DATA": str(root / "data"), "DAGSTER_HOME": str(root / "home"), "OLVF_PROFILE": "ci",
        }  # fmt: skip
        given.pop("DAGSTER_MODULE_NAME", None)
        self.staff_port, self.look_port = free_port(), free_port()
        self._uis = [
            subprocess.Popen(
                ["dagster-webserver", "--workspace", str(PROJECT / "workspace.yaml"), "--host", "127.0.0.1", *more],
                env=given, cwd=PROJECT, stdout=(root / "ui.log").open("ab"), stderr=subprocess.STDOUT,
            )
            for more in (
                ["--port", str(self.staff_port)],
                ["--port", str(self.look_port), "--read-only", "--path-prefix", "/look"],
            )
        ]  # fmt: skip
        self.nginx = RunningNginx(root / "nginx", self.reports, self.staff_port, self.look_port)
        for path in ("/server_info", "/look/server_info"):
            _until(lambda path=path: self.ask(path, STAFF).status_code == 200)

    def ask(self, path: str, login: tuple[str, str] | None = None, **given: Any) -> requests.Response:
        method = "POST" if "json" in given or "data" in given else "GET"
        with requests.Session() as session:
            session.trust_env = False
            headers = {"Authorization": basic(*login)} if login else {}
            return session.request(
                given.pop("method", method), self.nginx.url + path, verify=str(self.nginx.certificate),
                headers=headers | given.pop("headers", {}), allow_redirects=False, timeout=60, **given,
            )  # fmt: skip

    def listen(self, path: str, login: tuple[str, str] | None, origin: str | None) -> ClientConnection:
        """Open a websocket."""
        trusted = ssl.create_default_context(cafile=self.nginx.certificate)
        return connect(
            self.nginx.url.replace("https", "wss") + path, ssl=trusted,
            additional_headers={"Authorization": basic(*login)} if login else {}, origin=origin, proxy=None,
            subprotocols=["graphql-ws"],
        )  # fmt: skip

    def stop(self) -> None:
        self.nginx.stop()
        for ui in self._uis:
            ui.terminate()
        for ui in self._uis:
            ui.wait(timeout=60)


def _until(works: Any) -> None:
    pause, until = threading.Event(), time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            if works():
                return
        except requests.ConnectionError:
            pass
        pause.wait(0.5)
    raise TimeoutError("a server did not start")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    subprocess.run(["ip", "address", "replace", f"{ELSEWHERE}/32", "dev", "lo"], check=True)
    running = Servers(tmp_path_factory.mktemp("proxied"))
    yield running
    running.stop()


def test_nobody_sees_a_page_without_the_right_login(servers: Servers) -> None:
    words = ("Dagster", "report", "film", "dagster_version")
    wrong = [(STAFF[0], "wrong"), ("", ""), ("nobody", STAFF[1]), (STAFF[0], ONLOOKER[1]), None]
    questions = [(path, login) for path in WHO_MAY_SEE for login in (STAFF, ONLOOKER, *wrong)]

    def asked(path: str, login: tuple[str, str] | None) -> tuple[requests.Response, float]:
        begun = time.monotonic()
        return servers.ask(path, login), time.monotonic() - begun

    with ThreadPoolExecutor(8) as people:
        answers = list(people.map(lambda question: asked(*question), questions))
    for (path, login), (answer, took_s) in zip(questions, answers, strict=True):
        shown = [word for word in words if word in answer.text]
        if login in WHO_MAY_SEE[path]:
            assert answer.status_code == 200
            assert shown
        else:
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="OLVF"')
            assert shown == []
            assert took_s > 0.9  # so slowly can passwords be tried


@pytest.mark.parametrize(("prefix", "login"), [("", STAFF), ("/look", ONLOOKER), ("/look", STAFF)])
def test_questions_and_subscriptions_go_through(servers: Servers, prefix: str, login: tuple[str, str]) -> None:
    assert servers.ask(f"{prefix}/graphql", json=VERSION).status_code == 401
    assert servers.ask(f"{prefix}/graphql", login, json=VERSION).json()["data"]["version"]
    assert servers.ask(f"{prefix}/graphql", login, headers={"Accept": "text/html"}).status_code == 200
    query = 'subscription { pipelineRunLogs(runId: "none") { __typename } }'
    for origin in (None, servers.nginx.url):
        with servers.listen(f"{prefix}/graphql", login, origin) as socket_:
            socket_.send(json.dumps({"type": "connection_init"}))
            assert json.loads(socket_.recv(timeout=30)) == {"type": "connection_ack"}
            socket_.send(json.dumps({"type": "start", "id": "1", "payload": {"query": query}}))
            told = json.loads(socket_.recv(timeout=30))
        assert told["payload"]["data"]["pipelineRunLogs"]["__typename"] == "PipelineRunLogsSubscriptionFailure"
    with pytest.raises(InvalidStatus) as caught:
        servers.listen(f"{prefix}/graphql", (login[0], "wrong"), servers.nginx.url)
    assert caught.value.response.status_code == 401


def test_onlookers_change_nothing_and_staff_does(servers: Servers) -> None:
    def paused(login: tuple[str, str]) -> bool:
        asked = {"query": "{ instance { autoMaterializePaused } }"}
        return bool(servers.ask("/look/graphql", login, json=asked).json()["data"]["instance"]["autoMaterializePaused"])

    assert servers.ask("/graphql", ONLOOKER, json=GO_ON).status_code == 401
    for login in (ONLOOKER, STAFF):
        assert "Unauthorized" in servers.ask("/look/graphql", login, json=GO_ON).text
        assert paused(login)
    assert servers.ask("/graphql", STAFF, json=GO_ON).json()["data"] == {"setAutoMaterializePaused": False}
    assert not paused(ONLOOKER)
    assert "RepositoryLocation" in servers.ask("/look/graphql", ONLOOKER, json=LOCATIONS).text


def test_a_page_of_another_site_cannot_use_the_login_that_a_browser_keeps(servers: Servers) -> None:
    foreign = {"Origin": "https://evil.example"}
    mutation = quote(GO_ON["query"])
    for prefix in ("", "/look"):
        path = f"{prefix}/graphql"
        assert servers.ask(path, STAFF, json=GO_ON, headers=foreign).status_code == 403
        assert servers.ask(path, STAFF, json=GO_ON, headers={"Origin": "null"}).status_code == 403
        assert servers.ask(path, STAFF, json=VERSION, headers={"Origin": servers.nginx.url}).status_code == 200
        assert servers.ask(f"{path}?query={mutation}", STAFF).status_code == 405  # as a picture's address
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/graphql", ""):
            sent = servers.ask(f"{path}?query={mutation}", STAFF, data=GO_ON["query"], headers={"Content-Type": kind})
            assert sent.status_code == 405
        with pytest.raises(InvalidStatus) as caught:
            servers.listen(path, STAFF, "https://evil.example")
        assert caught.value.response.status_code == 403
        for what in ("materialization", "check", "observation"):
            assert servers.ask(f"{prefix}/report_asset_{what}/films", STAFF, json={}).status_code == 403


def test_the_uis_are_reached_from_this_machine_only_and_the_proxy_from_elsewhere(servers: Servers) -> None:
    for port in (servers.staff_port, servers.look_port):
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((ELSEWHERE, port), timeout=10)
    context = ssl.create_default_context(cafile=servers.nginx.certificate)
    with (
        socket.create_connection((ELSEWHERE, servers.nginx.port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as reached,
    ):
        reached.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert reached.recv(100).startswith(b"HTTP/1.1 401")


def test_only_our_name_is_answered_by_tls_of_today(servers: Servers) -> None:
    def handshake(context: ssl.SSLContext, name: str | None) -> str | None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", servers.nginx.port), timeout=10) as raw,
            context.wrap_socket(raw, server_hostname=name) as reached,
        ):
            return reached.version()

    assert handshake(ssl.create_default_context(), "localhost") == "TLSv1.3"
    for name in ("evil.example", None):
        with pytest.raises(ssl.SSLError):
            handshake(ssl.create_default_context(), name)
    old = ssl.create_default_context()
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        handshake(old, "localhost")
    with pytest.raises(requests.ConnectionError):  # the name of the connection is ours, that of the question is not
        servers.ask("/", STAFF, headers={"Host": "evil.example"})
    assert requests.get(servers.nginx.url.replace("https", "http"), timeout=10).status_code == 400


def test_reports_are_served_and_nothing_beside_them(servers: Servers) -> None:
    page = servers.ask("/reports/worklists/few/index.html", ONLOOKER)
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; img-src 'self' data:")
    for path in ("/reports/", "/reports/index.html"):
        assert servers.ask(path, ONLOOKER).text == "<h1>the report</h1>"
    assert servers.ask("/reports/worklists/", ONLOOKER).status_code == 403  # no listing
    assert servers.ask("/reports/link", ONLOOKER).status_code == 403
    for path in ("/reports/../secret", "/reports/%2e%2e/secret", "/reports..%2fsecret", "/reports../secret"):
        prepared = requests.Request("GET", servers.nginx.url, headers={"Authorization": basic(*ONLOOKER)}).prepare()
        prepared.url = servers.nginx.url + path  # as it stands, not tidied up
        with requests.Session() as session:
            answer = session.send(prepared, verify=str(servers.nginx.certificate), timeout=10)
        assert answer.status_code in (400, 401, 404)
        assert "beside the reports" not in answer.text
    for method in ("PUT", "DELETE", "POST"):
        assert servers.ask("/reports/index.html", STAFF, method=method).status_code in (403, 405)


def test_every_answer_says_what_a_browser_may_do_with_it(servers: Servers) -> None:
    for path, login in (("/", STAFF), ("/look/", ONLOOKER), ("/reports/", ONLOOKER), ("/", None)):
        said = servers.ask(path, login).headers
        assert said["X-Frame-Options"] == "DENY"
        assert said["X-Content-Type-Options"] == "nosniff"
        assert said["Strict-Transport-Security"].startswith("max-age=")
        assert "/" not in said["Server"]  # no version
        assert "Content-Security-Policy" in said or login is None


def test_too_much_and_too_often_is_refused(servers: Servers) -> None:
    assert servers.ask("/graphql", STAFF, json={"query": " " * 2_000_000}).status_code == 413
    with ThreadPoolExecutor(50) as people:
        tries = list(people.map(lambda number: servers.ask("/", ("sato", f"guess {number}")).status_code, range(50)))
    assert set(tries) == {401, 429}
    assert servers.ask("/", STAFF).status_code == 200


def test_passwords_end_at_the_proxy(servers: Servers, tmp_path: Path) -> None:
    came: list[dict[str, str]] = []

    class Upstream(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append(dict(self.headers))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as upstream:
        threading.Thread(target=upstream.serve_forever, args=(0.05,), daemon=True).start()
        port = upstream.server_address[1]
        alone = RunningNginx(tmp_path / "nginx", servers.reports, port, port)
        try:
            headers, trusted = {"Authorization": basic(*STAFF)}, str(alone.certificate)
            _until(lambda: requests.get(alone.url, headers=headers, verify=trusted, timeout=10).status_code == 204)
        finally:
            alone.stop()
            upstream.shutdown()
    assert came[0]["X-Forwarded-Proto"] == "https"
    kept = [str(came), *(file.read_text() for each in (alone, servers.nginx) for file in each.folder.glob("*.log"))]
    for _, password in (STAFF, ONLOOKER):
        assert not any(password in each or basic("", password)[8:-4] in each for each in kept)


def test_pages_work_in_a_browser_that_has_logged_in(servers: Servers, chromium: Chrome) -> None:
    for login, page, wanted in (
        (ONLOOKER, "/reports/worklists/few/index.html", "article.film"),
        (ONLOOKER, "/look/assets", "a[href*='/look/assets/']"),
        (STAFF, "/assets", "a[href*='/assets/']"),
    ):
        user, password = map(quote, login)
        logged_in = servers.nginx.url.replace("https://", f"https://{user}:{password}@")
        chromium.get(f"{logged_in}/reports/index.html")
        chromium.get(
            servers.nginx.url + page
        )  # the browser keeps the login; scripts do not run under an address with one
        WebDriverWait(chromium, 60).until(lambda browser, css=wanted: browser.find_elements(By.CSS_SELECTOR, css))
        if page != "/reports/worklists/few/index.html":
            (reload_,) = chromium.find_elements(By.XPATH, "//button[contains(., 'Reload definitions')]")
            assert reload_.is_enabled() == (login == STAFF)
        severe = [line["message"] for line in chromium.get_log("browser") if line["level"] == "SEVERE"]
        assert severe == []


def test_the_settings_for_a_viewer_are_ones_that_nginx_understands(tmp_path: Path) -> None:
    shipped = SHIPPED.with_name("ohif.conf").read_text()
    assert "listen 127.0.0.1:8088;" in shipped
    (tmp_path / "olvf.conf").write_text(shipped)
    (tmp_path / "nginx.conf").write_text(AROUND.format(folder=tmp_path))
    command = ["nginx", "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf", "-e", tmp_path / "error.log"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "syntax is ok" in done.stderr
