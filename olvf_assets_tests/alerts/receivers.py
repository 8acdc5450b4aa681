"""A webhook and a mail server on loopback that keep what they are told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

from aiosmtpd.controller import Controller


class Webhook:
    """Keeps the bodies of what is posted to it; answers `status`."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if receiver.status == 200:
                    receiver.said.append(body)
                self.send_response(receiver.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *given: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}/hook"

    @contextmanager
    def up(self) -> Iterator["Webhook"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class AnyPort(Controller):
    """A mail server on a port that is free; the library's own looks for itself at the port that was asked for."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class Mailbox:
    """Keeps the letters that it is given; `refuses` says no to all."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.refuses = False
        self.port = 0

    async def take(self, server: object, session: object, envelope: Any) -> str:
        """Take a letter."""
        if self.refuses:
            return "451 not now"
        self.letters.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 taken"

    @contextmanager
    def up(self) -> Iterator["Mailbox"]:
        server = AnyPort(SimpleNamespace(handle_DATA=self.take), hostname="127.0.0.1", port=0)
        server.start()
        try:
            self.port = server.port
            yield self
        finally:
            server.stop()
