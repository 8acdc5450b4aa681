"""A thing is told once, by each way, and again where that failed; with real servers on loopback."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from olvf_assets.alerts.channels import NotToldError, send_mail, send_test, send_to_webhook, ways_of
from olvf_assets.alerts.messages import Message
from olvf_assets.alerts.outbox import MOST_AT_ONCE, MOST_SEEN, MOST_WAITING, Outbox
from olvf_assets.alerts.settings import Alerts, AlertsFileError, Mail
from olvf_assets_tests.alerts.receivers import Mailbox, Webhook

MESSAGE = Message(
    "run_failed", "run 1234abcd (tables of 病院) failed", ("What to do: docs.",), "https://ui/runs/1234abcd"
)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook().up() as found:
        yield found


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox().up() as found:
        yield found


def mail_to(mailbox: Mailbox) -> Mail:
    return Mail(
        host="127.0.0.1", port=mailbox.port, tls="none", sender="olvf@h.example", to=("it@h.example", "r@h.example")
    )


def nobody_listens() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_what_a_webhook_and_a_mailbox_receive(webhook: Webhook, mailbox: Mailbox) -> None:
    send_to_webhook(webhook.address, MESSAGE)
    send_mail(mail_to(mailbox), "", MESSAGE)
    assert webhook.said == [
        {"text": MESSAGE.text, "subject": MESSAGE.subject, "kind": "run_failed", "url": "https://ui/runs/1234abcd"}
    ]
    (letter,) = mailbox.letters
    assert letter["Subject"] == "OLVF: run 1234abcd (tables of 病院) failed"
    assert (letter["From"], letter["To"], letter["Auto-Submitted"]) == (
        "olvf@h.example", "it@h.example, r@h.example", "auto-generated"
    )  # fmt: skip
    assert letter.get_content().split() == MESSAGE.text.split()


@pytest.mark.parametrize("status", [301, 404, 500])
def test_an_answer_that_is_no_success_is_a_failure(webhook: Webhook, status: int) -> None:
    webhook.status = status
    with pytest.raises(NotToldError, match=f"the webhook answered {status}"):
        send_to_webhook(webhook.address, MESSAGE)


def test_addresses_and_answers_are_not_repeated(mailbox: Mailbox) -> None:
    secret = f"http://127.0.0.1:{nobody_listens()}/T0/very-secret"
    with pytest.raises(NotToldError) as raised:
        send_to_webhook(secret, MESSAGE)
    assert "very-secret" not in str(raised.value)
    mailbox.refuses = True
    with pytest.raises(NotToldError, match=r"did not take the message \(SMTPDataError\)"):
        send_mail(mail_to(mailbox), "", MESSAGE)


def test_nothing_leaves_this_machine_unencrypted(mailbox: Mailbox) -> None:
    with pytest.raises(AlertsFileError, match="must begin with https://"):
        send_to_webhook("http://hooks.example/T0", MESSAGE)
    with pytest.raises(AlertsFileError, match="for a mail server on this machine itself"):
        send_mail(mail_to(mailbox).model_copy(update={"host": "mail.example"}), "", MESSAGE)
    with pytest.raises(NotToldError):  # the server offers no encryption: the password is not sent in clear
        send_mail(mail_to(mailbox).model_copy(update={"tls": "starttls", "user": "me"}), "secret", MESSAGE)
    assert mailbox.letters == []


def test_a_test_alert_reaches_everybody_or_says_why_not(
    tmp_path: Path, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AlertsFileError, match="names no webhook and no mail"):
        send_test(tmp_path)
    (tmp_path / "alerts").mkdir()
    (tmp_path / "alerts" / "alerts.toml").write_text("webhook = true")
    monkeypatch.setenv("OLVF_ALERTS_WEBHOOK_URL", webhook.address)
    assert send_test(tmp_path) == ["webhook: handed over"]
    assert webhook.said[0]["kind"] == "test"
    webhook.status = 500
    with pytest.raises(NotToldError):
        send_test(tmp_path)


def test_a_trouble_is_told_of_once_and_anew_when_it_came_back(tmp_path: Path) -> None:
    said: list[str] = []
    ways = {"ear": lambda message: said.append(message.subject)}
    for state in ("3 rows", "3 rows", "5 rows", None, "5 rows"):
        outbox = Outbox(tmp_path, 0.0)
        if state is None:
            outbox.over("check")
        else:
            outbox.tell("check", state, Message("check_failed", state), ways)
        outbox.hand_over(ways, said.append)
        outbox.keep()
    assert said == ["3 rows", "5 rows", "5 rows"]


def test_a_way_that_is_down_holds_up_no_other_and_is_tried_again(
    tmp_path: Path, webhook: Webhook, mailbox: Mailbox
) -> None:
    (tmp_path / "alerts").mkdir()
    (tmp_path / "alerts" / "credentials.toml").write_text(f'webhook_url = "{webhook.address}"')
    (tmp_path / "alerts" / "credentials.toml").chmod(0o600)
    ways = ways_of(Alerts(webhook=True, mail=mail_to(mailbox)), tmp_path)
    reported: list[str] = []
    webhook.status = 503
    outbox = Outbox(tmp_path, 0.0)
    outbox.tell("run 1", "failed", MESSAGE, ways)
    outbox.seen.append("1")
    assert outbox.hand_over(ways, reported.append) == 1
    outbox.keep()
    assert (len(webhook.said), len(mailbox.letters), outbox.waiting) == (0, 1, 1)
    assert reported == ["the webhook answered 503; 1 messages wait"]
    webhook.status = 200
    outbox = Outbox(tmp_path, 99.0)
    assert outbox.hand_over(ways, reported.append) == 1
    assert (len(webhook.said), len(mailbox.letters), outbox.waiting) == (1, 1, 0)
    assert "127.0.0.1" not in (tmp_path / "alerts" / "state.json").read_text()


def test_what_was_handed_over_before_a_kill_is_not_told_twice(tmp_path: Path) -> None:
    said: list[str] = []

    def tell(message: Message) -> None:
        if message.subject == "second" and "killed" not in said:
            said.append("killed")
            raise KeyboardInterrupt
        said.append(message.subject)

    outbox = Outbox(tmp_path, 0.0)
    for subject in ("first", "second"):
        outbox.tell(subject, "", Message("test", subject), {"ear": tell})
    outbox.keep()
    with pytest.raises(KeyboardInterrupt):
        outbox.hand_over({"ear": tell}, said.append)
    Outbox(tmp_path, 0.0).hand_over({"ear": tell}, said.append)
    assert said == ["first", "killed", "second"]


def test_runs_of_long_ago_are_forgotten_and_other_troubles_last(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, 0.0)
    for number in range(MOST_SEEN + 5):
        outbox.tell(f"run {number}", "failed", MESSAGE, {})
        outbox.seen.append(str(number))
    outbox.tell("site institution_3", "stale", MESSAGE, {})
    outbox.keep()
    found = Outbox(tmp_path, 0.0)
    assert len(found.seen) == MOST_SEEN
    assert (len(found.troubles), found.troubles["site institution_3"]) == (MOST_SEEN + 1, "stale")


def test_a_flood_is_bounded(tmp_path: Path) -> None:
    said: list[str] = []
    ways = {"ear": lambda message: said.append(message.subject)}
    outbox = Outbox(tmp_path, 0.0)
    for number in range(MOST_WAITING + 20):
        outbox.tell(str(number), "", Message("test", str(number)), ways)
    assert outbox.waiting == MOST_WAITING
    assert outbox.hand_over(ways, said.append) == MOST_AT_ONCE
    assert said[0] == "20"


@pytest.mark.parametrize("harm", ["", "{", "[]", json.dumps({"waiting": {}})])
def test_a_damaged_state_begins_anew(tmp_path: Path, harm: str) -> None:
    (tmp_path / "alerts").mkdir()
    (tmp_path / "alerts" / "state.json").write_text(harm)
    outbox = Outbox(tmp_path, 5.0)
    assert (outbox.since_s, outbox.troubles, outbox.waiting) == (5.0, {}, 0)
