"""Secrets for image stores: from where, and with what care.

What lives here: a site's name and password or token, from the environment or a file of mode 600, and the TLS context
made of its certificates. What does not: what they are used for (`web`, `dimse`). No secret is in a repr, a message or a
settings model.
"""

import os
import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from olvf_assets.intake.pacs.errors import PacsCredentialsError
from olvf_assets.intake.pacs.pacs_file import Login, Pacs
from olvf_assets.storage.private_files import private_text, require_private

CREDENTIALS_FILE = "credentials.toml"
NEEDED: Mapping[Login, tuple[str, ...]] = {"none": (), "basic": ("user", "password"), "token": ("token",)}


@dataclass(frozen=True)
class Credentials:
    """Name and password, a token, or nothing; none of them is shown."""

    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


def variable(institution: str, name: str) -> str:
    """Return the environment variable of one secret of a site, as OLVF_PACS_INSTITUTION_3_PASSWORD."""
    return f"OLVF_PACS_{institution.upper()}_{name.upper()}"


def credentials(pacs: Pacs, login: Login) -> Credentials:
    """Return a site's secrets for a way of logging in: those of the environment, else those of `credentials.toml`.

    Raises:
        PacsCredentialsError: one is missing, or the file may be read by others, is no TOML or holds something else.
    """
    needed = NEEDED[login]
    found = {name: said for name in needed if (said := os.environ.get(variable(pacs.institution, name), ""))}
    path = pacs.folder / CREDENTIALS_FILE
    if not found and needed and path.exists():
        found = _from_file(path)
    missing = [name for name in needed if not found.get(name)]
    if missing:
        variables = " and ".join(variable(pacs.institution, name) for name in missing)
        raise PacsCredentialsError(
            f'login = "{login}" needs {" and ".join(missing)}: set {variables}, or write {path} with '
            f"{', '.join(f'{name} = ...' for name in needed)} and run: chmod 600 {path}"
        )
    if any(not said.isprintable() for said in found.values()):
        raise PacsCredentialsError(
            f"a secret of {pacs.institution} holds a line break or control character; give it anew"
        )
    return Credentials(**{name: found[name] for name in needed})


def _from_file(path: Path) -> dict[str, str]:
    text = private_text(path, PacsCredentialsError, "write it anew")
    try:
        said = tomllib.loads(text)
    except (ValueError, RecursionError):  # what tomllib says may repeat the file
        raise PacsCredentialsError(f'{path} is not valid TOML; write lines such as password = "..."') from None
    if not all(name in ("user", "password", "token") and isinstance(value, str) for name, value in said.items()):
        raise PacsCredentialsError(f"{path}: only user, password and token, each a text in quotes")
    return said


def tls_files(pacs: Pacs) -> tuple[Path | None, Path | None, Path | None]:
    """Return the paths of CA file, certificate and key of a site; the key's rights are looked at.

    Raises:
        PacsCredentialsError: a file is missing, or the key may be read by others.
    """
    found = [pacs.folder / name if name else None for name in (pacs.tls.ca_file, pacs.tls.certificate, pacs.tls.key)]
    for name, path in zip(("ca_file", "certificate", "key"), found, strict=True):
        if path is not None and not _is_file(path):
            raise PacsCredentialsError(f"{str(path)[:300]}: there is no such file; {name} in [tls] names it")
    if found[2] is not None:
        require_private(found[2], PacsCredentialsError)
    return found[0], found[1], found[2]


def tls_context(pacs: Pacs, *, listening: bool = False) -> ssl.SSLContext:
    """Return the TLS context of a site, TLS 1.2 or later, which always checks the other side's certificate.

    Args:
        pacs: the site.
        listening: for connections that the store makes to us; it must show a certificate, too.

    Raises:
        PacsCredentialsError: a file is missing or no certificate, or the key does not belong to it.
    """
    ca_file, certificate, key = tls_files(pacs)
    purpose = ssl.Purpose.CLIENT_AUTH if listening else ssl.Purpose.SERVER_AUTH
    try:
        context = ssl.create_default_context(purpose, cafile=ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError):
        raise PacsCredentialsError(
            f"the files of [tls] in {pacs.folder} are no certificates in PEM, or key and certificate do not belong "
            "together (a key must have no passphrase)"
        ) from None
    if listening:
        if certificate is None:
            raise PacsCredentialsError(
                'retrieve = "move" with tls needs certificate and key in [tls]: the store connects to us'
            )
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no name that a file can have
        return False
