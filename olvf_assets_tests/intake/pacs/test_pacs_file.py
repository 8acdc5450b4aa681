"""`pacs.toml` and the secrets that do not stand in it."""

from pathlib import Path
from typing import Any

import pytest

from olvf_assets.intake.pacs.credentials import Credentials, credentials, tls_context
from olvf_assets.intake.pacs.errors import PacsCredentialsError, PacsFileError
from olvf_assets.intake.pacs.pacs_file import LARGEST_BYTES, pacs_sites, read_pacs
from olvf_assets_tests.intake.pacs.peers import SITE, tls_files, write_site

DIMSE = {"host": "pacs.example", "port": 104, "called_ae": "STORE"}
WEB = {"url": "https://pacs.example/dicom-web", "login": "basic"}
SECRET = "Hanako-1945!"


def test_what_is_not_said_has_defaults(tmp_path: Path) -> None:
    write_site(tmp_path, dimse=DIMSE)
    pacs = read_pacs(tmp_path, SITE)
    assert pacs.dimse is not None
    assert (pacs.dimse.calling_ae, pacs.dimse.retrieve, pacs.every_minutes) == ("OLVF", "get", 15)
    assert (pacs.what.modalities, pacs.what.overlap_days, pacs.what.max_per_poll) == (("CR", "DX"), 7, 500)
    assert pacs_sites(tmp_path) == [SITE]
    (tmp_path / "pacs" / "x' or 1=1").mkdir()
    (tmp_path / "pacs" / "x' or 1=1" / "pacs.toml").write_text("")
    assert pacs_sites(tmp_path) == [SITE]


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"dimse": DIMSE | {"prot": 104}}, "dimse.prot: unknown key"),
        ({"dimse": DIMSE | {"port": "104"}}, "dimse.port: Input should be a valid integer"),
        ({"dimse": DIMSE | {"port": 0}}, "dimse.port: Input should be greater than or equal to 1"),
        ({"dimse": DIMSE | {"port": 70000}}, "dimse.port: Input should be less than or equal to 65535"),
        ({"dimse": DIMSE | {"called_ae": "A" * 17}}, "dimse.called_ae: String should match"),
        ({"dimse": DIMSE | {"called_ae": ""}}, "dimse.called_ae: String should match"),
        ({"dimse": DIMSE | {"host": "a/../b"}}, "dimse.host: String should match"),
        ({"dimse": DIMSE | {"retrieve": "push"}}, "dimse.retrieve: Input should be 'get' or 'move'"),
        ({"dimse": DIMSE | {"retrieve": "move"}}, 'dimse: retrieve = "move" needs own_address and own_port'),
        ({"dimse": DIMSE | {"password": SECRET}}, "dimse.password: no secrets in this file"),
        ({"dimse": {"host": "pacs.example", "port": 104}}, "dimse.called_ae is missing"),
        ({"dimse": DIMSE, "dicomweb": WEB}, "write one of [dimse] and [dicomweb]"),
        ({}, "write one of [dimse] and [dicomweb]"),
        ({"dicomweb": WEB | {"url": f"https://spine:{SECRET}@pacs.example/"}}, "no name and password in the address"),
        ({"dicomweb": WEB | {"url": f"https://pacs.example/?token={SECRET}"}}, "only the root, without ? and #"),
        ({"dicomweb": WEB | {"url": "ftp://pacs.example"}}, "write it as https://host:port/path"),
        ({"dicomweb": WEB | {"url": "https://pacs.example:x/"}}, "write it as https://host:port/path"),
        ({"dicomweb": WEB | {"url": "http://pacs.example/"}}, "would go over the network unencrypted"),
        ({"dicomweb": WEB | {"login": "kerberos"}}, "dicomweb.login: Input should be 'none', 'basic' or 'token'"),
        ({"dimse": DIMSE, "tls": {"certificate": "a.pem"}}, "certificate and key belong together"),
        ({"dimse": DIMSE, "what": {"modalities": []}}, "what.modalities: Tuple should have at least 1 item"),
        ({"dimse": DIMSE, "what": {"since": "1912-01-01"}}, "what.since: a day from 1980 on"),
        ({"dimse": DIMSE, "what": {"since": '"2026-01-01"'}}, "what.since: Input should be a valid date"),
        ({"dimse": DIMSE, "what": {"settle_s": -1.0}}, "what.settle_s: Input should be greater than or equal to 0"),
        ({"dimse": DIMSE, "every_minutes": -1}, "every_minutes: Input should be greater than or equal to 0"),
        ({"dimse": DIMSE, SECRET: {}}, "?: unknown key"),
    ],
)
def test_what_cannot_be_is_an_error_with_file_key_and_way_out(
    tmp_path: Path, tables: dict[str, Any], said: str
) -> None:
    tables = {(f'"{name}"' if name == SECRET else name): table for name, table in tables.items()}
    folder = write_site(tmp_path, **tables)
    with pytest.raises(PacsFileError) as caught:
        read_pacs(tmp_path, SITE)
    assert str(folder / "pacs.toml") in str(caught.value)
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "content", [b"[dimse\n", b"\xff\xfe\0", b"x" * (LARGEST_BYTES + 1), b"a = [" + b"[" * 50_000, b""]
)
def test_a_file_that_is_no_toml_is_an_error(tmp_path: Path, content: bytes) -> None:
    folder = write_site(tmp_path, dimse=DIMSE)
    (folder / "pacs.toml").write_bytes(content)
    with pytest.raises(PacsFileError, match=r"pacs\.toml"):
        read_pacs(tmp_path, SITE)


def test_a_missing_file_and_a_name_that_is_no_site_are_errors(tmp_path: Path) -> None:
    with pytest.raises(PacsFileError, match="is missing; docs"):
        read_pacs(tmp_path, SITE)
    with pytest.raises(PacsFileError, match="named by its institution's key"):
        read_pacs(tmp_path, "../../etc")


def web_site(tmp_path: Path, login: str = "basic") -> Path:
    return write_site(tmp_path, dicomweb=WEB | {"login": login})


def test_secrets_come_from_the_environment_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = web_site(tmp_path)
    pacs = read_pacs(tmp_path, SITE)
    with pytest.raises(PacsCredentialsError, match="OLVF_PACS_INSTITUTION_7_USER and OLVF_PACS_INSTITUTION_7_PASSWORD"):
        credentials(pacs, "basic")
    file = folder / "credentials.toml"
    file.write_text(f'user = "spine"\npassword = "{SECRET}"\n')
    file.chmod(0o600)
    found = credentials(pacs, "basic")
    assert (found.user, found.password) == ("spine", SECRET)
    assert repr(found) == "Credentials()"
    monkeypatch.setenv("OLVF_PACS_INSTITUTION_7_USER", "other")
    with pytest.raises(PacsCredentialsError, match="set OLVF_PACS_INSTITUTION_7_PASSWORD"):
        credentials(pacs, "basic")
    monkeypatch.setenv("OLVF_PACS_INSTITUTION_7_PASSWORD", "of the environment")
    assert credentials(pacs, "basic").password == "of the environment"
    assert credentials(pacs, "none") == Credentials()


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (f'user = "spine"\npassword = "{SECRET}"', 0o644, "may be read by others on this machine; run: chmod 600"),
        (f'user = "spine"\npassword = "{SECRET}"', 0o640, "may be read by others on this machine; run: chmod 600"),
        (f"user = spine\npassword = {SECRET}", 0o600, "is not valid TOML"),
        (f'user = "spine"\npasswort = "{SECRET}"', 0o600, "only user, password and token"),
        ('user = "spine"', 0o600, "needs password"),
        ('user = "spine"\npassword = 1945', 0o600, "only user, password and token, each a text in quotes"),
        (f'user = "spine"\npassword = "{SECRET}\\nX-Header: 1"', 0o600, "holds a line break or control character"),
    ],
)
def test_a_file_of_secrets_that_cannot_be_used_is_refused_with_the_way_out(
    tmp_path: Path, content: str, mode: int, said: str
) -> None:
    file = web_site(tmp_path) / "credentials.toml"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(PacsCredentialsError) as caught:
        credentials(read_pacs(tmp_path, SITE), "basic")
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_certificates_are_looked_at_before_they_are_used(tmp_path: Path) -> None:
    certificate, key = tls_files(tmp_path)
    ours = {"certificate": str(certificate), "key": str(key)}
    write_site(tmp_path, dimse=DIMSE, tls=ours)
    tls_context(read_pacs(tmp_path, SITE))
    key.chmod(0o644)
    with pytest.raises(PacsCredentialsError, match="run: chmod 600"):
        tls_context(read_pacs(tmp_path, SITE))
    key.chmod(0o600)
    write_site(tmp_path, dimse=DIMSE, tls=ours | {"ca_file": "no.pem"})
    with pytest.raises(PacsCredentialsError, match=r"no\.pem: there is no such file"):
        tls_context(read_pacs(tmp_path, SITE))
    write_site(tmp_path, dimse=DIMSE, tls={"certificate": str(key), "key": str(key)})
    with pytest.raises(PacsCredentialsError, match="are no certificates in PEM"):
        tls_context(read_pacs(tmp_path, SITE))
