"""Image stores to talk to: pynetdicom's own service classes, and what a site that asks them needs."""

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, build_context, evt
from pynetdicom.sop_class import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from olvf_assets.intake.pacs.dimse_connection import FILM_SYNTAXES
from olvf_assets.intake.pacs.polling import Poll
from olvf_assets.intake.pacs.site import poll_site
from olvf_assets_tests.intake.samples import film

SITE = "institution_7"
DAY = "20260310"
LEVELS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}


def study_film(name: str, study: int = 1, series: int = 1, day: str = DAY, **changes: Any) -> Dataset:
    """Return a film of a numbered study and series."""
    uids = {"StudyInstanceUID": f"1.2.826.{study}", "SeriesInstanceUID": f"1.2.826.{study}.{series}"}
    changes = {"SOPInstanceUID": generate_uid(entropy_srcs=[name]), "StudyDate": day, "StationName": "XR1"} | changes
    dataset = film(name, patient_id=f"P{study}", **{**uids, **changes})
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def write_site(data: Path, **tables: Any) -> Path:
    """Write the landing folder, key and `pacs.toml` of a site; return its folder under data/pacs."""
    landing, folder = data / "landing" / SITE, data / "pacs" / SITE
    landing.mkdir(parents=True, exist_ok=True)
    (landing / "institution.toml").write_text('name = "Hospital 7"\nrole = "external"\n')
    key = data / "pseudonym.key"
    key.write_text("a key that is only for tests of the image store\n")
    key.chmod(0o600)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pacs.toml").write_text(toml_of({"what": {}} | tables))
    return folder


def toml_of(tables: dict[str, Any]) -> str:
    tables = tables | {"what": {"since": "2026-03-01", "settle_s": 0.0} | tables["what"]}
    flat = {name: said for name, said in tables.items() if not isinstance(said, dict)}
    lines = [f"{name} = {_literal(name, said)}" for name, said in flat.items()]
    for name, table in tables.items():
        if isinstance(table, dict):
            lines += [f"[{name}]", *(f"{key} = {_literal(key, said)}" for key, said in table.items())]
    return "\n".join(lines) + "\n"


def _literal(key: str, said: Any) -> str:
    if isinstance(said, bool):
        return str(said).lower()
    if key == "since" or isinstance(said, int | float):
        return str(said)
    return str(list(said)) if isinstance(said, list) else f'"{said}"'


NOW_S = datetime.datetime(2026, 3, 20, 12, tzinfo=datetime.UTC).timestamp()


def poll(data: Path, **given: Any) -> Poll:
    """Poll the site on a day of March 2026."""
    return poll_site(data, SITE, **{"now": lambda: NOW_S} | given)


def films_of(data: Path) -> dict[str, bytes]:
    """Return {name: content} of every file in the site's landing folder but `institution.toml`."""
    landing = data / "landing" / SITE
    return {
        path.name: path.read_bytes()
        for path in landing.rglob("*")
        if path.is_file() and path.name != "institution.toml"
    }


@dataclass
class Peer:
    """An image store by DIMSE.

    Attributes:
        films: what it holds.
        known: AE titles that may ask.
        ae_title: its own.
        tls: for encrypted connections.
        answer: changes an answer to a question before it is sent.
        sent: changes an object before it is sent; None sends nothing and fails.
        asked: the levels of the questions, in order.
        limit: the most studies that it gives at once.
    """

    films: list[Dataset]
    known: tuple[str, ...] = ("OLVF",)
    ae_title: str = "STORE"
    tls: ssl.SSLContext | None = None
    answer: Callable[[Dataset], Dataset] = lambda answer: answer
    sent: Callable[[Dataset], Dataset | None] = lambda dataset: dataset
    asked: list[str] = field(default_factory=list)
    limit: int = 10_000
    move_to: int = 0
    stored: list[Dataset] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        entity = AE(ae_title=self.ae_title)
        entity.require_called_aet, entity.require_calling_aet = True, list(self.known)
        for service in (
            Verification,
            StudyRootQueryRetrieveInformationModelFind,
            StudyRootQueryRetrieveInformationModelGet,
            StudyRootQueryRetrieveInformationModelMove,
        ):
            entity.add_supported_context(service)
        for each in (ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation):
            entity.add_supported_context(each, list(FILM_SYNTAXES), scu_role=True, scp_role=True)
        entity.requested_contexts = [
            build_context(each, syntax)
            for each in (ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation)
            for syntax in FILM_SYNTAXES
        ]
        handlers = [
            (evt.EVT_CONN_OPEN, _at_once),
            (evt.EVT_C_ECHO, lambda event: 0x0000),
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_C_GET, self._get),
            (evt.EVT_C_MOVE, self._move),
            (evt.EVT_C_STORE, self._store),
        ]
        self._server = entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=handlers, ssl_context=self.tls
        )
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the `[dimse]` of a site that asks this store."""
        return {"host": "127.0.0.1", "port": self.port, "called_ae": self.ae_title, "timeout_s": 20.0} | more

    def _find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        question = event.identifier
        level = str(question.QueryRetrieveLevel)
        self.asked.append(level)
        found: dict[str, Dataset] = {}
        for each in self.films:
            if _fits(each, question):
                found.setdefault(str(each.get(LEVELS[level])), each)
        if level == "STUDY" and len(found) > self.limit:
            yield 0xA700, None
            return
        for each in found.values():
            answer = Dataset()
            answer.QueryRetrieveLevel = level
            for element in question:
                if element.keyword in each and element.keyword != "QueryRetrieveLevel":
                    answer[element.tag] = each[element.tag]
            if level == "SERIES":
                same = [other for other in self.films if other.SeriesInstanceUID == each.SeriesInstanceUID]
                answer.NumberOfSeriesRelatedInstances = len(same)
            yield 0xFF00, self.answer(answer)

    def _get(self, event: Any) -> Iterator[Any]:
        wanted = [each for each in self.films if _fits(each, event.identifier)]
        sent = [other for each in wanted if (other := self.sent(each)) is not None]
        if not sent:
            yield 0
            yield 0xC000, None
            return
        yield len(sent)
        for each in sent:
            yield 0xFF00, each

    def _move(self, event: Any) -> Iterator[Any]:
        if event.move_destination.strip() not in self.known or not self.move_to:
            yield None, None
            return
        yield "127.0.0.1", self.move_to, {"ae_title": event.move_destination}
        yield from self._get(event)

    def _store(self, event: Any) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        self.stored.append(dataset)
        return 0x0000


def _fits(dataset: Dataset, question: Dataset) -> bool:
    for keyword in LEVELS.values():
        wanted = question.get(keyword)
        if wanted and str(dataset.get(keyword)) not in ([wanted] if isinstance(wanted, str) else list(wanted)):
            return False
    if days := str(question.get("StudyDate") or ""):
        first, _, last = days.partition("-")
        if not first <= str(dataset.StudyDate) <= (last or "99999999"):
            return False
    modality = question.get("ModalitiesInStudy")
    return not modality or dataset.Modality == modality


def _at_once(event: Any) -> None:
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def tls_files(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 and localhost that signs itself, and its key; return both paths."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "image store")])
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "store.pem", folder / "store.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    paths[1].chmod(0o600)
    return paths


def silent_server(content: bytes = b"") -> tuple[socket.socket, int]:
    """Listen on a port, say `content` to whoever connects, and nothing more."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        kept = []
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.sendall(content)
            kept.append(connection)

    threading.Thread(target=serve, daemon=True).start()
    return listener, int(listener.getsockname()[1])
