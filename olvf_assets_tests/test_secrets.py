"""What is asked of an image store with a secret leaves the secret nowhere: not in messages, logs, tables or Dagster."""

import json
import logging
import os
import sqlite3
import ssl
import subprocess
import sys
import traceback
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from dagster import DagsterInstance, build_schedule_context, build_sensor_context

from olvf_assets.__main__ import main
from olvf_assets.intake.pacs.credentials import credentials
from olvf_assets.intake.pacs.pacs_file import read_pacs
from olvf_assets.orchestration.pacs import ask_pacs, pacs_changed, poll_pacs
from olvf_assets.orchestration.partitions import INSTITUTION_PARTITIONS
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets_tests.intake.pacs.peers import SITE, films_of, study_film, tls_files, toml_of, write_site
from olvf_assets_tests.intake.pacs.web_peer import Answer, WebPeer, basic
from olvf_assets_tests.planted_intake import KEY, PACS_TOKEN, Intake

USER, PASSWORD, TOKEN = "zq9-the-user", "Zq7+ü/%& Hanako\u3042", "zq8.token~_a-b/c+d=="
PREFIX = f"OLVF_PACS_{SITE.upper()}_"


def forms(secret: str) -> Iterator[bytes]:
    """Yield a secret as programs write it."""
    yield secret.encode()
    yield secret.encode("utf-16-le")
    yield quote(secret, safe="").encode()
    yield quote_plus(secret).encode()
    yield json.dumps(secret)[1:-1].encode()
    yield repr(secret.encode())[2:-1].encode()
    for encode in (b64encode, urlsafe_b64encode):
        yield encode(secret.encode()).rstrip(b"=")
        for before in (b"x", b"xx"):  # within a longer text; the first and last letters depend on what is beside it
            yield encode(before + secret.encode())[4:-4]


SECRETS = {form for secret in (USER, PASSWORD, TOKEN) for form in forms(secret)} | {
    basic(USER, PASSWORD).removeprefix("Basic ").encode()
}


def secrets_in(content: bytes, also: Sequence[bytes] = ()) -> list[bytes]:
    return [form for form in (*SECRETS, *also) if form in content]


def content_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield what stands in all files of a folder, data bases also as text; not where the secret was planted."""
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        if path.name in ("credentials.toml", "pacs.toml"):
            continue
        content = path.read_bytes()
        yield str(path), str(path).encode() + content
        if content.startswith(b"SQLite format 3"):
            with closing(sqlite3.connect(path)) as database:
                yield f"{path} as text", "\n".join(database.iterdump()).encode()


def by_file(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = data / "pacs" / SITE / "credentials.toml"
    file.write_text(f'user = "{USER}"\npassword = "{PASSWORD}"\ntoken = "{TOKEN}"\n')
    file.chmod(0o600)


def by_environment(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, secret in (("USER", USER), ("PASSWORD", PASSWORD), ("TOKEN", TOKEN)):
        monkeypatch.setenv(PREFIX + name, secret)


Plant = Callable[[Path, pytest.MonkeyPatch], None]


class Trial:
    """A site, what is said about it, and whatever is left of that."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, caplog: Any) -> None:
        self.data, self.home = root / "data", root / "home"
        self.data.mkdir()
        self.home.mkdir()
        self._monkeypatch, self._capsys, self._caplog, self._said = monkeypatch, capsys, caplog, ""
        caplog.set_level(logging.DEBUG)
        for name, said in {"DATA": self.data, "PROFILE": "ci"}.items():
            monkeypatch.setenv(f"OLVF_{name}", str(said))
        monkeypatch.setenv("DAGSTER_HOME", str(self.home))

    def call(self, *words: str) -> int:
        """Say something on the command line; what is not caught there is shown as Python does."""
        self._monkeypatch.setattr(sys, "argv", ["olvf_assets", *words])
        try:
            return main()
        except Exception:
            self._said += traceback.format_exc()
            return 1

    def say_all(self) -> list[int]:
        return [self.call("pacs", SITE, *words) for words in (["test"], ["poll", "--no-wait"], ["status"])]

    def run_all(self) -> bool:
        """Poll by Dagster, and let its schedule and its sensor look; return whether the run succeeded."""
        study = {"study": StudyResource(profile_name="ci", data_folder=str(self.data))}
        with DagsterInstance.local_temp(str(self.home)) as instance:
            instance.add_dynamic_partitions(str(INSTITUTION_PARTITIONS.name), [SITE])
            result = poll_pacs.execute_in_process(instance=instance, partition_key=SITE, raise_on_error=False)
            with build_schedule_context(instance=instance, resources=study) as context:
                self._said += str([getattr(each, "skip_message", each) for each in ask_pacs(context)])
            with build_sensor_context(instance=instance, resources=study) as context:
                self._said += str(pacs_changed(context))
            self._said += str(result.all_events) + str(instance.all_logs(result.run_id))
        return bool(result.success)

    def leaks(self, also: Sequence[bytes] = ()) -> dict[str, list[bytes]]:
        """Return the secrets found, by place; `also` are further ones."""
        out = self._capsys.readouterr()
        self._said += out.out + out.err + self._caplog.text
        assert SITE in self._said  # something was said
        places = [("what was said", self._said.encode()), *content_of(self.data), *content_of(self.home)]
        return {place: found for place, content in places if (found := secrets_in(content, also))}


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: Any) -> Trial:
    return Trial(tmp_path, monkeypatch, capsys, caplog)


def test_a_secret_would_be_found_in_whatever_form(tmp_path: Path) -> None:
    for shown in (f"Authorization: {basic(USER, PASSWORD)}", f"https://{quote(USER)}@h/", repr(TOKEN), repr(PASSWORD)):
        assert secrets_in(shown.encode()), shown
    with closing(sqlite3.connect(tmp_path / "events.db")) as database, database:
        database.execute("create table events as select ? as said", (json.dumps({"token": TOKEN}),))
    assert any(secrets_in(content) for _, content in content_of(tmp_path))


@pytest.mark.parametrize(("plant", "login"), [(by_file, "basic"), (by_environment, "token")])
def test_films_come_and_the_secret_is_nowhere(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, plant: Plant, login: str
) -> None:
    wanted = basic(USER, PASSWORD) if login == "basic" else f"Bearer {TOKEN}"
    with WebPeer([study_film("one"), study_film("two", study=2)], login=wanted) as peer:
        write_site(
            trial.data, dicomweb=peer.settings(login=login), orthanc={"url": peer.url, "login": login}, every_minutes=0
        )
        plant(trial.data, monkeypatch)
        assert trial.say_all() == [0, 0, 0]
        assert len(films_of(trial.data)) == 2
        assert trial.run_all()
        peer.login = "Basic of-somebody-else"  # the password was changed there
        assert trial.say_all() == [1, 1, 0]
        assert not trial.run_all()
    assert trial.say_all() == [1, 1, 0]  # nobody answers
    assert trial.leaks() == {}


def echoed_as_reason(path: str, answer: Answer, said: str) -> Answer:
    return 500, {"X-Said": said, "WWW-Authenticate": said}, said.encode()


def echoed_as_address(path: str, answer: Answer, said: str) -> Answer:
    return 302, {"Location": f"http://{quote(said)}@127.0.0.1:9/{quote(said)}"}, b""


def echoed_as_answers(path: str, answer: Answer, said: str) -> Answer:
    element = {"vr": "UI", "Value": [said]}
    answers = [dict.fromkeys(("0020000D", "0020000E", "00080018", "00180015", "00080020"), element)]
    return 200, {"Content-Type": "application/dicom+json"}, json.dumps(answers).encode()


def echoed_as_no_json(path: str, answer: Answer, said: str) -> Answer:
    return 200, {"Content-Type": "application/dicom+json"}, b"{" + said.encode()


@pytest.mark.parametrize("echo", [echoed_as_reason, echoed_as_address, echoed_as_answers, echoed_as_no_json])
def test_a_store_that_repeats_the_secret_is_not_quoted(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, echo: Callable[[str, Answer, str], Answer]
) -> None:
    said = f"{USER} {PASSWORD} {basic(USER, PASSWORD)}".encode().decode("latin-1")
    with WebPeer([study_film("one")], change=lambda path, answer: echo(path, answer, said)) as peer:
        write_site(trial.data, dicomweb=peer.settings(login="basic"), orthanc={"url": peer.url, "login": "basic"})
        by_file(trial.data, monkeypatch)
        trial.say_all()
        trial.run_all()
    assert trial.leaks() == {}


def test_a_connection_that_is_not_trusted_tells_nothing_also_not_of_our_key(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificate, key = tls_files(tmp_path)
    lines = key.read_bytes().splitlines()[1:-1]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    ours = {"certificate": str(certificate), "key": str(key)}
    with WebPeer([study_film("one")], tls=context) as peer:
        write_site(trial.data, dicomweb=peer.settings(login="basic"), tls=ours)
        by_file(trial.data, monkeypatch)
        assert trial.say_all() == [1, 1, 0]
        assert not trial.run_all()
        assert peer.asked == []
        key.write_bytes(key.read_bytes().replace(b"BEGIN", b"BEGUN"))
        assert trial.say_all() == [1, 1, 0]
    assert trial.leaks(also=lines) == {}


def test_a_defect_of_ours_tells_nothing_either(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object) -> None:
        raise TypeError("nobody thought of this")

    monkeypatch.setattr("olvf_assets.intake.pacs.polling.lay_down", defect)
    with WebPeer([study_film("one")], login=basic(USER, PASSWORD)) as peer:
        write_site(trial.data, dicomweb=peer.settings(login="basic"))
        by_file(trial.data, monkeypatch)
        assert trial.say_all() == [0, 1, 0]
        assert not trial.run_all()
    assert trial.leaks() == {}


@pytest.mark.parametrize(
    "content",
    [
        f"user = {USER}\npassword = {PASSWORD}".encode(),
        f'user = "{USER}"\npasswort = "{PASSWORD}"'.encode(),
        f'user = "{USER}"\npassword = ["{PASSWORD}"]'.encode(),
        f'user = "{USER}"\npassword = "{PASSWORD}\\nX: 1"'.encode(),
        f'["{PASSWORD}"]\nuser = "{USER}"'.encode(),
        f'"{TOKEN}" = 1'.encode(),
        b'user = "\xff' + PASSWORD.encode() + b'"',
        f'user = "{USER}"\nuser = "{PASSWORD}"'.encode(),
    ],
)
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_of_secrets_that_is_not_understood_is_not_quoted(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, content: bytes, mode: int
) -> None:
    folder = write_site(trial.data, dicomweb={"url": "https://127.0.0.1:9", "login": "basic"})
    (folder / "credentials.toml").write_bytes(content)
    (folder / "credentials.toml").chmod(mode)
    assert trial.say_all() == [1, 1, 0]
    assert trial.leaks() == {}


@pytest.mark.parametrize(
    "tables",
    [
        {"dicomweb": {"url": f"https://{USER}:{quote(PASSWORD)}@pacs.example"}},
        {"dicomweb": {"url": f"https://{USER}@pacs.example"}},
        {"dicomweb": {"url": f"https://pacs.example/?token={TOKEN}"}},
        {"dicomweb": {"url": f"https://pacs.example/#{TOKEN}"}},
        {"dicomweb": {"url": "https://pacs.example", "login": TOKEN}},
        {"dicomweb": {"url": "https://pacs.example", "password": PASSWORD}},
        {"dicomweb": {"url": "https://pacs.example", "key": TOKEN}},
        {"dimse": {"host": f"{USER}:{PASSWORD}@pacs", "port": 104, "called_ae": "A"}},
        {"dimse": {"host": "pacs", "port": TOKEN, "called_ae": "A"}},
        {"dimse": {"host": "pacs", "port": 104, "called_ae": PASSWORD}},
        {"dimse": {"host": "pacs", "port": 104, "called_ae": "A"}, "what": {"modalities": [TOKEN * 3]}},
        {"dimse": {"host": "pacs", "port": 104, "called_ae": "A"}, "secrets": {f'"{TOKEN}"': 1}},
        {"dimse": {"host": "pacs", "port": 104, "called_ae": "A"}, f'"{TOKEN}"': {"a": 1}},
    ],
)
def test_a_secret_in_the_wrong_file_is_not_quoted(trial: Trial, tables: dict[str, Any]) -> None:
    folder = write_site(trial.data)
    (folder / "pacs.toml").write_text(toml_of({"what": {}} | tables))
    assert trial.say_all() == [1, 1, 1]
    assert trial.leaks() == {}


def test_nothing_that_holds_a_secret_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_site(tmp_path, dicomweb={"url": "https://pacs.example", "login": "basic"})
    by_file(tmp_path, monkeypatch)
    pacs = read_pacs(tmp_path, SITE)
    found = credentials(pacs, "basic")
    assert found.password == PASSWORD
    shown = [repr(found), str(found), f"{found}", f"{found!r}", repr([found]), repr(pacs), pacs.model_dump_json()]
    shown.append(json.dumps({"login": found}, default=str))
    assert [secrets_in(each.encode()) for each in shown] == [[]] * len(shown)


def test_no_secret_is_in_what_intake_leaves_behind(intake: Intake) -> None:
    found = [*forms(KEY), *forms(PACS_TOKEN)]
    assert [name for name, content in intake.left_behind() if any(form in content for form in found)] == []


def test_no_secret_is_in_the_definitions_that_dagster_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_site(tmp_path, dicomweb={"url": "https://pacs.example", "login": "basic"})
    by_file(tmp_path, monkeypatch)
    by_environment(tmp_path, monkeypatch)
    code = (
        "from dagster._core.remote_representation.external_data import RepositorySnap\n"
        "from dagster._serdes import serialize_value\n"
        "from olvf_assets.definitions import defs\n"
        "print(serialize_value(RepositorySnap.from_def(defs.get_repository_def())))\n"
    )
    given = os.environ | {"OLVF_DATA": str(tmp_path), "OLVF_PROFILE": "ci", "OLVF_PSEUDONYM_KEY": KEY}
    done = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, check=True)
    assert b"poll_pacs" in done.stdout
    assert len(done.stdout) > 100_000
    assert secrets_in(done.stdout + done.stderr) == []
    assert not any(form in done.stdout + done.stderr for form in forms(KEY))
