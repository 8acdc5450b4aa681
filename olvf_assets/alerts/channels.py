"""The ways in which people are told: a webhook and mail.

What lives here: sending one message by each. What does not: whether and how often (`outbox`). No error repeats an
address, a password or what the other side answered.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from olvf_assets.alerts.messages import Message
from olvf_assets.alerts.settings import FILE, FOLDER, LOOPBACK, Alerts, AlertsFileError, Mail, read_alerts, secret
from olvf_assets.foundation.errors import OlvfError

TIMEOUT_S = 10.0
Send = Callable[[Message], None]


class NotToldError(OlvfError):
    """A message could not be handed over; it is tried again."""


def ways_of(alerts: Alerts, data: Path) -> Mapping[str, Send]:
    """Return how messages are sent, by the way's name.

    Args:
        alerts: what the site says.
        data: the data folder, where its secrets are.
    """
    ways: dict[str, Send] = {}
    if alerts.webhook:
        ways["webhook"] = lambda message: send_to_webhook(secret(data, "webhook_url"), message)
    if (mail := alerts.mail) is not None:
        ways["mail"] = lambda message: send_mail(mail, secret(data, "mail_password") if mail.user else "", message)
    return ways


def send_test(data: Path) -> list[str]:
    """Tell everybody that alerts reach them, and return a line for each way.

    Raises:
        AlertsFileError: the settings, or nobody is named there.
        NotToldError: by which way nobody can be told.
    """
    ways = ways_of(read_alerts(data), data)
    if not ways:
        raise AlertsFileError(f"{data / FOLDER / FILE} names no webhook and no mail; docs/operations.md shows one")
    for send in ways.values():
        send(Message("test", "alerts reach you", ("Nothing is wrong: this was sent by test-alert.",)))
    return [f"{way}: handed over" for way in ways]


def send_to_webhook(address: str, message: Message) -> None:
    """Post a message as JSON: `text` for people (Slack, Mattermost, Teams), the rest for programs.

    Raises:
        NotToldError: no connection, or the answer is no success.
        AlertsFileError: the address is not encrypted and leads off this machine.
    """
    from urllib.parse import urlsplit

    import requests

    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise AlertsFileError("webhook_url must begin with https://, but for this machine itself")
    said = {"text": message.text, "subject": message.subject, "kind": message.kind, "url": message.url}
    try:
        answer = requests.post(address, json=said, timeout=TIMEOUT_S, allow_redirects=False)
    except requests.RequestException as error:
        raise NotToldError(f"the webhook cannot be reached ({type(error).__name__})") from None
    if not answer.ok or answer.is_redirect:
        raise NotToldError(f"the webhook answered {answer.status_code}")


def send_mail(mail: Mail, password: str, message: Message) -> None:
    """Send a message by mail.

    Raises:
        NotToldError: no connection, a certificate that is not trusted, or the server does not take it.
        AlertsFileError: the connection is not encrypted and leads off this machine.
    """
    import smtplib
    import ssl
    from email.message import EmailMessage
    from email.utils import formatdate, make_msgid

    if mail.tls == "none" and mail.host not in LOOPBACK:
        raise AlertsFileError('tls = "none" is for a mail server on this machine itself')
    letter = EmailMessage()
    letter["Subject"], letter["From"], letter["To"] = f"OLVF: {message.subject}", mail.sender, ", ".join(mail.to)
    letter["Date"], letter["Message-ID"] = formatdate(), make_msgid(domain="olvf.invalid")
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(message.text)
    try:
        context = ssl.create_default_context()
        if mail.tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(mail.host, mail.port, timeout=TIMEOUT_S, context=context)
        else:
            server = smtplib.SMTP(mail.host, mail.port, timeout=TIMEOUT_S)
        with server:
            if mail.tls == "starttls":
                server.starttls(context=context)
            if mail.user:
                server.login(mail.user, password)
            server.send_message(letter)
    except (smtplib.SMTPException, OSError) as error:
        raise NotToldError(f"the mail server did not take the message ({type(error).__name__})") from None
