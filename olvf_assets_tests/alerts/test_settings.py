"""What a site may say about alerts, and where its secrets are."""

from pathlib import Path

import pytest

from olvf_assets.alerts.settings import Alerts, AlertsFileError, read_alerts, secret

WHOLE = """
ui = "https://olvf.hospital.example/"
webhook = true

[mail]
host = "mail.hospital.example"
user = "olvf"
sender = "olvf@hospital.example"
to = ["it@hospital.example", "radiology@hospital.example"]

[sites.institution_3]
films_every_days = 7
"""


def written(data: Path, text: str, name: str = "alerts.toml", mode: int = 0o600) -> Path:
    file = data / "alerts" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    return data


def test_without_a_file_nobody_is_told(tmp_path: Path) -> None:
    assert read_alerts(tmp_path) == Alerts()
    assert not read_alerts(tmp_path).tells


def test_a_file_is_understood(tmp_path: Path) -> None:
    found = read_alerts(written(tmp_path, WHOLE))
    assert found.tells
    assert found.ui == "https://olvf.hospital.example"
    assert found.mail is not None
    assert (found.mail.port, found.mail.tls, len(found.mail.to)) == (587, "starttls", 2)
    assert (found.sites["institution_3"].films_every_days, found.sites["institution_3"].poll_within_hours) == (7, 24)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("webhook = yes", "is not valid TOML"),
        ('webhook = "https://hooks.example/T0/secret"', "webhook: Input should be a valid boolean"),
        (
            'webhook_url = "https://hooks.example/T0/secret"',
            "webhook_url: no secrets in this file; they belong",
        ),
        ('[mail]\nhost = "h"\nsender = "a@b"\nto = ["c@d"]\npassword = "secret"', "mail.password: no secrets"),
        ('[mail]\nhost = "h"\nsender = "a@b"', "mail.to is missing"),
        ('[mail]\nhost = "h"\nsender = "a@b"\nto = ["c@d>\\nBcc: secret@e"]', "mail.to: not the plain address"),
        ('[mail]\nhost = "h"\nsender = "a@b"\nto = []', "mail.to: "),
        ('[mail]\nhost = "h"\nport = 99999\nsender = "a@b"\nto = ["c@d"]', "mail.port: "),
        ("[sites.institution_3]\nfilms_every_days = -1", "sites.institution_3.films_every_days: "),
        ("[sites.institution_3]\ndays = 1", "sites.institution_3.days: unknown key"),
        ('ui = "https://me:secret@olvf.example"', "ui: an address beginning with https:// or http://, without a login"),
        ('ui = "olvf.example"', "ui: an address beginning"),
    ],
)
def test_what_is_not_understood_is_named_without_its_value(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(AlertsFileError) as raised:
        read_alerts(written(tmp_path, text))
    assert said in str(raised.value)
    assert "secret" not in str(raised.value).replace("no secrets", "")


def test_a_secret_comes_from_the_environment_or_a_private_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLVF_ALERTS_MAIL_PASSWORD", raising=False)
    with pytest.raises(AlertsFileError, match="mail_password is needed: set OLVF_ALERTS_MAIL_PASSWORD, or write"):
        secret(tmp_path, "mail_password")
    written(tmp_path, 'mail_password = "of the file"', "credentials.toml")
    assert secret(tmp_path, "mail_password") == "of the file"
    written(tmp_path, 'mail_password = "of the file"', "credentials.toml", mode=0o644)
    with pytest.raises(AlertsFileError, match=r"may be read by others.*chmod 600") as raised:
        secret(tmp_path, "mail_password")
    assert "of the file" not in str(raised.value)
    monkeypatch.setenv("OLVF_ALERTS_MAIL_PASSWORD", "of the environment")
    assert secret(tmp_path, "mail_password") == "of the environment"
