"""Where a site's image store is and what is wanted of it: `data/pacs/<institution>/pacs.toml`.

What lives here: which keys that file may have, and how it is read. What does not: secrets (`credentials`), which never
stand in it, and what was fetched so far (`state`).

The folder lies beside `landing` and `lake`, not in them: what is in it is no film, and nothing of it enters a table.
"""

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from olvf_assets.foundation.settings import Settings
from olvf_assets.intake.pacs.errors import PacsFileError
from olvf_assets.storage.landing_folders import KEY_PATTERN

PACS_FOLDER, PACS_FILE = "pacs", "pacs.toml"
LARGEST_BYTES = 20_000
LONGEST_URL = 2_000
MOST_FAULTS = 5  # are told at a time
PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,40}")
PLACE = re.compile(r"at line \d+, column \d+|at end of document")
SECRET_WORD = re.compile(r"pass|secret|token|credential|user", re.IGNORECASE)
HERE = ("127.0.0.1", "::1", "localhost")

Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:_-]{1,253}$")]
AeTitle = Annotated[
    str, StringConstraints(pattern=r"^[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?$")
]  # PS3.5 6.2: no \ and no control
Port = Annotated[int, Field(ge=1, le=65535)]
Station = Annotated[str, StringConstraints(pattern=r"^[^\\\x00-\x1f\x7f]{1,64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,1000}$")]
CodeString = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_ -]{1,16}$")]
Login = Literal["none", "basic", "token"]


class _Strict(Settings):
    """Values have the type that they look like: "104" is no port."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Dimse(_Strict):
    """An image store that speaks DICOM's own protocol.

    Attributes:
        host: its address.
        port: its port.
        called_ae: its application entity title.
        calling_ae: ours, as the store knows us.
        retrieve: `get`, by which films come on the connection that asked for them, or `move`, by which the store
            connects to us.
        own_address: for `move`, the address of this machine that listens.
        own_port: for `move`, the port that listens, as the store knows it.
        tls: whether connections are encrypted.
        timeout_s: how long the store may be silent.
    """

    host: Host
    port: Port
    called_ae: AeTitle
    calling_ae: AeTitle = "OLVF"
    retrieve: Literal["get", "move"] = "get"
    own_address: Host | None = None
    own_port: Port | None = None
    tls: bool = False
    timeout_s: float = Field(default=60.0, gt=0.0, le=3600.0)

    @model_validator(mode="after")
    def _move_listens(self) -> "Dimse":
        if (self.retrieve == "move") != (self.own_address is not None and self.own_port is not None):
            raise ValueError('retrieve = "move" needs own_address and own_port; "get" needs neither')
        return self


class Web(_Strict):
    """An image store, or its change feed, that is asked by HTTP.

    Attributes:
        url: the root of its services.
        login: what it asks for: `basic` (name and password), `token` (a bearer token) or `none`.
        allow_plain_http: let a password or films go over the network unencrypted; not asked on this machine itself.
        timeout_s: how long the store may be silent.
    """

    url: str
    login: Login = "none"
    allow_plain_http: bool = False
    timeout_s: float = Field(default=60.0, gt=0.0, le=3600.0)

    @field_validator("url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        if not re.fullmatch(rf"[!-~]{{1,{LONGEST_URL}}}", url):
            raise ValueError("write it as https://host:port/path")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("write it as https://host:port/path") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            raise ValueError("write it as https://host:port/path")
        if "@" in url:
            raise ValueError("no name and password in the address; docs/pacs.md says where they belong")
        if parts.query or parts.fragment:
            raise ValueError("only the root, without ? and #")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _encrypted(self) -> "Web":
        parts = urlsplit(self.url)
        if parts.scheme == "http" and parts.hostname not in HERE and not self.allow_plain_http:
            raise ValueError(
                "films and passwords would go over the network unencrypted; write https://, or allow_plain_http = true "
                "where the network is known to be safe"
            )
        return self


class Tls(_Strict):
    """Certificates, as PEM files; their paths count from the folder of `pacs.toml`.

    Attributes:
        ca_file: whom to trust beside nobody else; without it, the machine's own list.
        certificate: ours, where the store asks for one.
        key: its private key; only its owner may read the file.
    """

    ca_file: FileName | None = None
    certificate: FileName | None = None
    key: FileName | None = None

    @model_validator(mode="after")
    def _both(self) -> "Tls":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together; give both or neither")
        return self


class Wanted(_Strict):
    """Which films are asked for.

    Attributes:
        modalities: values of Modality.
        body_parts: values of BodyPartExamined; empty means any.
        unknown_body_part: whether films come whose series does not say.
        stations: values of StationName; empty means any.
        since: the first day of a study; films of earlier studies never come.
        overlap_days: how many days before the last success are looked through anew: stores get studies late.
        whole_every_days: how often all days since `since` are looked through anew.
        settle_s: for how long a series must have been as it is, so that one still arriving is left alone.
        max_per_poll: the most films that are fetched at a time; the rest comes with the next.
    """

    modalities: Annotated[tuple[CodeString, ...], Field(strict=False, min_length=1)] = ("CR", "DX")
    body_parts: Annotated[tuple[CodeString, ...], Field(strict=False)] = ()
    unknown_body_part: bool = True
    stations: Annotated[tuple[Station, ...], Field(strict=False)] = ()
    since: date
    overlap_days: int = Field(default=7, ge=1, le=3650)
    whole_every_days: int = Field(default=7, ge=1, le=3650)
    settle_s: float = Field(default=60.0, ge=0.0, le=86400.0)
    max_per_poll: int = Field(default=500, ge=1, le=100_000)

    @field_validator("since")
    @classmethod
    def _a_day_of_digital_films(cls, since: date) -> date:
        if not 1980 <= since.year <= 2100:
            raise ValueError("a day from 1980 on, as 2026-01-01 without quotes")
        return since


class Pacs(_Strict):
    """A site's image store.

    Attributes:
        institution: the site's key.
        folder: where its file, credentials and state lie.
        every_minutes: how often it is asked; 0 means only by hand.
        dimse: by DICOM's own protocol, or
        dicomweb: by DICOMweb; exactly one of the two.
        orthanc: the change feed of an Orthanc, where the store is one.
        tls: certificates for all of them.
        what: which films.
    """

    institution: str
    folder: Annotated[Path, Field(strict=False)]
    every_minutes: int = Field(default=15, ge=0, le=10_080)
    dimse: Dimse | None = None
    dicomweb: Web | None = None
    orthanc: Web | None = None
    tls: Tls = Tls()
    what: Wanted

    @model_validator(mode="after")
    def _one_way(self) -> "Pacs":
        if (self.dimse is None) == (self.dicomweb is None):
            raise ValueError("write one of [dimse] and [dicomweb]")
        return self


def pacs_sites(data: Path) -> list[str]:
    """Return the keys of all sites that have a `pacs.toml`, sorted."""
    keys = (file.parent.name for file in (data / PACS_FOLDER).glob(f"*/{PACS_FILE}"))
    return sorted(key for key in keys if KEY_PATTERN.fullmatch(key))


def read_pacs(data: Path, institution: str) -> Pacs:
    """Return what a site's `pacs.toml` says.

    Raises:
        PacsFileError: the file is missing or unreadable, no TOML, or has a key or value that is not allowed; names
            file, key and way out, and repeats no value.
    """
    if not KEY_PATTERN.fullmatch(institution):
        raise PacsFileError("a site is named by its institution's key: lower-case letters, digits and _")
    folder = data / PACS_FOLDER / institution
    path = folder / PACS_FILE
    try:
        if path.exists() and not path.is_file():  # a pipe would never end, a device neither
            raise PacsFileError(f"{path} is not a file; move it away and put the right file there")
        with path.open("rb") as handle:
            content = handle.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise PacsFileError(f"{path} is larger than {LARGEST_BYTES} bytes; docs/pacs.md shows one of ten lines")
        said = tomllib.loads(content.decode("utf-8-sig"))
    except FileNotFoundError:
        raise PacsFileError(f"{path} is missing; docs/pacs.md shows one of ten lines") from None
    except OSError as error:
        raise PacsFileError(f"{path} cannot be read ({error.strerror}); give this user the right to") from None
    except (ValueError, RecursionError) as error:
        place = PLACE.search(str(error))  # the rest of what tomllib says may repeat the file
        raise PacsFileError(f"{path} is not valid TOML ({place.group() if place else 'somewhere'})") from None
    try:
        given = {"institution": institution, "folder": folder}
        return Pacs.model_validate({**{name: value for name, value in said.items() if name not in given}, **given})
    except ValidationError as error:
        faults = [_fault(each["loc"], each["type"], each["msg"]) for each in error.errors()[:MOST_FAULTS]]
        faults += [f"and {n} more"] if (n := error.error_count() - len(faults)) else []
    raise PacsFileError(f"{path}: {'; '.join(faults)}")


def _fault(place: tuple[int | str, ...], kind: str, said: str) -> str:
    """Return one fault in words: the key and what is wrong with it, never the value, which may be a secret."""
    names = [str(part) if PLAIN_KEY.fullmatch(str(part)) else "?" for part in place]
    key = ".".join(names) or "the file"
    if kind == "missing":
        return f"{key} is missing"
    if kind != "extra_forbidden":
        return f"{key}: {said.removeprefix('Value error, ')}"
    if SECRET_WORD.search(key):
        return f"{key}: no secrets in this file; docs/pacs.md says where they belong"
    return f"{key}: unknown key; docs/pacs.md lists them"
