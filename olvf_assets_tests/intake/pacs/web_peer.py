"""An image store by DICOMweb, and the change feed of an Orthanc, as a small HTTP server."""

import json
import re
import threading
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pydicom
from pydicom.dataset import Dataset

BOUNDARY = "a-boundary-0f3c"
SHOWN = {
    "studies": ("StudyInstanceUID", "StudyDate"),
    "series": ("StudyInstanceUID", "SeriesInstanceUID", "Modality", "BodyPartExamined", "StationName"),
    "instances": ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"),
}
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class WebPeer:
    """An image store by HTTP.

    Attributes:
        films: what it holds.
        login: the Authorization that it wants; empty wants none.
        change: changes an answer (path, status, headers, body) before it is sent.
        changes: lines of the change feed.
        series: what `/series/ID` says, by id; studies and instances likewise.
        asked: every path that was asked for, with its headers.
    """

    films: list[Dataset] = field(default_factory=list)
    login: str = ""
    change: Callable[[str, Answer], Answer] = lambda path, answer: answer
    changes: list[dict[str, Any]] = field(default_factory=list)
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    stored: list[Dataset] = field(default_factory=list)
    last: int | None = None
    port: int = 0
    tls: Any = None

    def __post_init__(self) -> None:
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(peer.get(self.path, dict(self.headers)))

            def do_POST(self) -> None:
                self._answer(peer.post(self.path, dict(self.headers), self._body()))

            def _body(self) -> bytes:
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                found = b""
                while size := int(self.rfile.readline(), 16):
                    found += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return found

            def _answer(self, answer: Answer) -> None:
                status, headers, body = answer
                self.send_response(status)
                for name, said in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, said)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> "WebPeer":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the `[dicomweb]` of a site that asks this store."""
        return {"url": f"{self.url}/dicom-web", "timeout_s": 20.0} | more

    def get(self, path: str, headers: dict[str, str]) -> Answer:
        self.asked.append((path, headers))
        if self.login and headers.get("Authorization") != self.login:
            return self.change(path, (401, {}, b"who are you?"))
        parts = urlsplit(path)
        query = {name: said[0] for name, said in parse_qs(parts.query).items()}
        if parts.path.startswith("/dicom-web/"):
            return self.change(path, self._dicomweb(parts.path.removeprefix("/dicom-web"), query))
        if parts.path == "/changes":
            return self.change(path, self._feed(int(query.get("since", 0)), int(query.get("limit", 100))))
        found = self.resources.get(parts.path)
        return self.change(path, (404, {}, b"") if found is None else _json(found))

    def post(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        begin = body.find(b"\r\n\r\n") + 4
        dataset = pydicom.dcmread(BytesIO(body[begin : body.rfind(b"\r\n--")]))
        self.stored.append(dataset)
        return self.change(path, _json({"00081198": {"vr": "SQ"}}, "application/dicom+json"))

    def _feed(self, since: int, limit: int) -> Answer:
        end = max((change["Seq"] for change in self.changes), default=0) if self.last is None else self.last
        found = [change for change in self.changes if change["Seq"] > since][:limit]
        last = found[-1]["Seq"] if found else end
        return _json({"Changes": found, "Done": last >= end, "Last": last})

    def _dicomweb(self, path: str, query: dict[str, str]) -> Answer:
        if match := re.fullmatch(r"/studies/([^/]+)/series/([^/]+)/instances/([^/]+)", path):
            found = [film for film in self.films if film.SOPInstanceUID == match[3]]
            return _part(found[0]) if found else (404, {}, b"no such instance")
        match = re.fullmatch(r"(?:/studies/([^/]+))?(?:/series/([^/]+))?/(studies|series|instances)", path)
        if match is None:
            return 404, {}, b"no such route"
        shown = SHOWN[match[3]]
        found = {}
        for film in self.films:
            first, _, last = query.get("StudyDate", "").partition("-")
            if (
                match[1] in (None, film.StudyInstanceUID)
                and match[2] in (None, film.SeriesInstanceUID)
                and first <= film.StudyDate <= (last or "99999999")
                and query.get("ModalitiesInStudy", film.Modality) == film.Modality
            ):
                found.setdefault(
                    str(film[{"studies": shown[0], "series": shown[1]}.get(match[3], shown[-2])].value), film
                )
        start, count = int(query.get("offset", 0)), int(query.get("limit", 1_000))
        answers = [_answer(film, shown) for film in list(found.values())[start : start + count]]
        return _json(answers, "application/dicom+json")


def basic(user: str, password: str) -> str:
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


def _answer(film: Dataset, keywords: tuple[str, ...]) -> dict[str, Any]:
    chosen = Dataset()
    for keyword in keywords:
        chosen[keyword] = film[keyword]
    return chosen.to_json_dict()


def _json(said: Any, kind: str = "application/json") -> Answer:
    return 200, {"Content-Type": kind}, json.dumps(said).encode()


def _part(film: Dataset) -> Answer:
    buffer = BytesIO()
    film.save_as(buffer, enforce_file_format=True)
    body = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body += buffer.getvalue() + f"\r\n--{BOUNDARY}--\r\n".encode()
    return 200, {"Content-Type": f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'}, body
