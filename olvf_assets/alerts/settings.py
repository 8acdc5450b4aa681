"""What a site says about alerts: `data/alerts/alerts.toml`, and the secrets beside it.

What lives here: the file's meaning, and where secrets come from. What does not: sending (`channels`), what there is to
tell (`orchestration/alerts.py`).
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.storage.private_files import private_text

FOLDER, FILE, CREDENTIALS = "alerts", "alerts.toml", "credentials.toml"
SECRETS = {"webhook_url": "OLVF_ALERTS_WEBHOOK_URL", "mail_password": "OLVF_ALERTS_MAIL_PASSWORD"}
PLAIN_KEY = re.compile(r"[A-Za-z0-9_]+")
ADDRESS = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class AlertsFileError(OlvfError):
    """`alerts.toml` or its credentials are missing something or not understood."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Mail(_Part):
    """How mail is sent.

    Attributes:
        host, port: the server.
        tls: `starttls`, `tls` from the first byte, or `none`, which only this machine itself is trusted with.
        user: its name there; a password is then needed.
        sender, to: addresses.
    """

    host: str
    port: int = Field(default=587, ge=1, le=65535)
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    sender: str
    to: tuple[str, ...] = Field(min_length=1, strict=False)

    @field_validator("sender", "to")
    @classmethod
    def _addresses(cls, said: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not all(ADDRESS.fullmatch(each) for each in ([said] if isinstance(said, str) else said)):
            raise ValueError("not the plain address of a mailbox")
        return said


class Site(_Part):
    """When a hospital counts as stale.

    Attributes:
        films_every_days: no film has come for longer; 0: never.
        poll_within_hours: no poll of its image store has succeeded for longer; 0: never.
    """

    films_every_days: float = Field(default=0, ge=0, strict=False)
    poll_within_hours: float = Field(default=24, ge=0, strict=False)


class Alerts(_Part):
    """What a site says about alerts.

    Attributes:
        ui: the address under which people open Dagster's UI; messages then link to runs.
        webhook: tell by a webhook, whose address is a secret.
        mail: tell by mail.
        sites: by institution.
    """

    ui: str = ""
    webhook: bool = False
    mail: Mail | None = None
    sites: dict[str, Site] = {}

    @field_validator("ui")
    @classmethod
    def _is_address(cls, said: str) -> str:
        if said and (urlsplit(said).scheme not in ("http", "https") or urlsplit(said).username):
            raise ValueError("an address beginning with https:// or http://, without a login")
        return said.rstrip("/")

    @property
    def tells(self) -> bool:
        """Return whether anybody is told."""
        return self.webhook or self.mail is not None


def read_alerts(data: Path) -> Alerts:
    """Return what `alerts.toml` of a data folder says; without the file nobody is told anything.

    Raises:
        AlertsFileError: it is no TOML, or has a key or value that is not allowed; repeats no value.
    """
    path = data / FOLDER / FILE
    try:
        said = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return Alerts()
    except OSError as error:
        raise AlertsFileError(f"{path} cannot be read ({error.strerror}); give this user the right to") from None
    except (ValueError, RecursionError):
        raise AlertsFileError(f"{path} is not valid TOML; docs/operations.md shows one") from None
    try:
        return Alerts.model_validate(said)
    except ValidationError as error:
        faults = "; ".join(_fault(each["loc"], each["type"], each["msg"]) for each in error.errors())
    raise AlertsFileError(f"{path}: {faults}; docs/operations.md shows one")


def secret(data: Path, name: str) -> str:
    """Return a secret, `webhook_url` or `mail_password`: of the environment, else of `data/alerts/credentials.toml`.

    Raises:
        AlertsFileError: it is nowhere, or the file may be read by others or is no TOML.
    """
    path = data / FOLDER / CREDENTIALS
    found = os.environ.get(SECRETS[name], "")
    if not found and path.exists():
        try:
            said = tomllib.loads(private_text(path, AlertsFileError, "write it anew"))
        except (ValueError, RecursionError):  # what tomllib says may repeat the file
            raise AlertsFileError(f'{path} is not valid TOML; write lines such as {name} = "..."') from None
        found = said.get(name, "")
    if not isinstance(found, str) or not found or not found.isprintable():
        raise AlertsFileError(f'{name} is needed: set {SECRETS[name]}, or write {name} = "..." into {path}, mode 600')
    return found


def _fault(place: tuple[int | str, ...], kind: str, said: str) -> str:
    key = ".".join(str(part) if PLAIN_KEY.fullmatch(str(part)) else "?" for part in place) or "the file"
    if kind == "missing":
        return f"{key} is missing"
    if kind != "extra_forbidden":
        return f"{key}: {said.removeprefix('Value error, ')}"
    if re.search("pass|secret|token|url", key):
        return f"{key}: no secrets in this file; they belong into {CREDENTIALS}"
    return f"{key}: unknown key"
