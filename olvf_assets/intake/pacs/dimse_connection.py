"""Associations with an image store: opened, kept, and explained when they fail.

What lives here: who we say we are, what we propose, TLS, and why an association did not come about or broke off. What
does not: what is asked on it (`dimse`), its limits (`connection_guard`).

A context is proposed per transfer syntax, so that the store sends each film as it keeps it: were several proposed in
one, the store would choose one of them and convert.
"""

import logging
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from olvf_assets.intake.pacs.answers import FILM_CLASSES
from olvf_assets.intake.pacs.connection_guard import Guard
from olvf_assets.intake.pacs.credentials import tls_context
from olvf_assets.intake.pacs.errors import (
    PacsError,
    StoreLacksServiceError,
    StoreRefusesUsError,
    StoreTlsError,
    StoreUnreachableError,
)
from olvf_assets.intake.pacs.pacs_file import Pacs

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.events import Event
    from pynetdicom.transport import ThreadedAssociationServer

ECHO, FIND, GET, MOVE = "1.2.840.10008.1.1", *(f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 3, 2))
SERVICES = {"echo": ECHO, "find": FIND, "get": GET, "move": MOVE}
# As films are kept. Explicit and Implicit Little Endian come first: some stores look at nothing else.
FILM_SYNTAXES = (
    "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",
)  # fmt: skip
CONNECTION_S = 10.0
CALLED_UNKNOWN, CALLING_UNKNOWN = (1, 7), (1, 3)  # source and diagnostic of a rejection, PS3.8 9.3.4
BUSY = ((3, 1), (3, 2))
Take = Callable[["Event"], int]


class Connection:
    """One association at a time with a site's image store.

    Args:
        pacs: the site, which has a `[dimse]`.
        take: is given each object that the store sends, and returns a status.
    """

    def __init__(self, pacs: Pacs, take: Take) -> None:
        if pacs.dimse is None:
            raise ValueError("this site has no [dimse]")
        self.pacs, self.dimse, self._take = pacs, pacs.dimse, take
        self.name = f"the image store of {pacs.institution} ({self.dimse.host}:{self.dimse.port})"
        self._assoc: Association | None = None
        self._server: ThreadedAssociationServer | None = None
        self._kind = ""
        self._guard = Guard()
        for each in ("pynetdicom", "pydicom"):  # their logs repeat identifiers
            logging.getLogger(each).setLevel(logging.CRITICAL + 1)

    def association(self, kind: str) -> "Association":
        """Return the association for a kind of request (`echo`, `find`, `get`, `move`); one of that kind is kept open.

        Raises:
            PacsError: there is none, or the store does not offer what is needed; says why.
        """
        if self._assoc is not None and self._assoc.is_established and self._kind == kind:
            return self._assoc
        self._open(_contexts(kind), _roles() if kind == "get" else [])
        self._kind = kind
        accepted = {str(context.abstract_syntax) for context in self._accepted()}
        if SERVICES[kind] not in accepted:
            other = ", or try the other of retrieve = get and move" if kind in ("get", "move") else ""
            self.close()
            raise StoreRefusesUsError(
                f"{self.name} does not offer C-{kind.upper()} to AE title {self.dimse.calling_ae!r}; allow it "
                f"there{other}"
            )
        if kind == "get" and not accepted & set(FILM_CLASSES):
            self.close()
            raise StoreLacksServiceError(
                f'{self.name} sends no films on a connection that we opened; use retrieve = "move"'
            )
        return self._opened()

    def to_send(self, sop_class: str, syntax: str) -> "Association | None":
        """Return an association on which an object can be stored; None where the store does not take its kind.

        Raises:
            PacsError: there is none; says why.
        """
        from pynetdicom import build_context

        kind = f"send {sop_class} {syntax}"
        if self._assoc is None or not self._assoc.is_established or self._kind != kind:
            self._open([build_context(sop_class, syntax), build_context(ECHO)], [])
            self._kind = kind
        taken = any(str(context.abstract_syntax) == sop_class for context in self._accepted())
        return self._assoc if taken else None

    def begin(self) -> None:
        """Count what comes anew: a request is about to be sent."""
        self._guard.begin()

    def broke(self, during: str) -> NoReturn:
        """Raise what says why no answer came.

        Raises:
            PacsError: always.
        """
        fault = self._guard.fault
        self.abort()
        raise fault or StoreUnreachableError(
            f"the connection to {self.name} broke off, or it was silent for {self.dimse.timeout_s:.0f} s, during "
            f"{during}. Some stores do so when AE title {self.dimse.calling_ae!r} may not ask them"
        )

    def abort(self) -> None:
        """Break off the association, if there is one."""
        self._guard.let_go()
        if self._assoc is not None:
            self._assoc.abort()
        self._assoc = None

    def close(self) -> None:
        """End the association, if there is one."""
        self._guard.let_go()
        if self._assoc is not None and self._assoc.is_established:
            self._assoc.release()
        self._assoc = None

    def listen(self) -> None:
        """Listen for what a C-MOVE sends, from the store's AE title only, until `stop`.

        Raises:
            StoreUnreachableError: the address cannot be listened on.
        """
        from pynetdicom import AE, evt

        if self._server is not None:
            return
        entity = AE(ae_title=self.dimse.calling_ae)
        entity.require_called_aet = True
        entity.require_calling_aet = [self.dimse.called_ae]
        entity.dimse_timeout = entity.network_timeout = self.dimse.timeout_s
        entity.add_supported_context(ECHO)
        for each in FILM_CLASSES:
            entity.add_supported_context(each, list(FILM_SYNTAXES))
        address = (self.dimse.own_address or "127.0.0.1", self.dimse.own_port or 0)
        context = tls_context(self.pacs, listening=True) if self.dimse.tls else None
        handlers: list[Any] = [(evt.EVT_CONN_OPEN, self._guard_incoming), (evt.EVT_C_STORE, self._take)]
        try:
            self._server = entity.start_server(address, block=False, evt_handlers=handlers, ssl_context=context)
        except OSError as error:
            raise StoreUnreachableError(
                f"own_address and own_port in [dimse] of {self.pacs.institution} cannot be listened on "
                f"({error.strerror}); is another program there?"
            ) from None

    def stop(self) -> None:
        """End the association and the listening."""
        self.close()
        if self._server is not None:
            self._server.shutdown()
        self._server = None

    def _guard_incoming(self, event: "Event") -> None:
        Guard(self.dimse.timeout_s).watch(event.assoc)

    def _opened(self) -> "Association":
        if self._assoc is None:
            raise ValueError("no association is open")
        return self._assoc

    def _accepted(self) -> list[Any]:
        return list(self._opened().accepted_contexts)

    def _open(self, contexts: list[Any], roles: list[Any]) -> None:
        from pynetdicom import AE, evt

        self.close()
        entity = AE(ae_title=self.dimse.calling_ae)
        entity.connection_timeout = entity.acse_timeout = min(CONNECTION_S, self.dimse.timeout_s)
        entity.dimse_timeout = entity.network_timeout = self.dimse.timeout_s
        self._guard = guard = Guard(self.dimse.timeout_s)
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, lambda event: guard.watch(event.assoc)),
            (evt.EVT_C_STORE, self._take),
        ]
        tls = (tls_context(self.pacs), self.dimse.host) if self.dimse.tls else None
        try:
            assoc = entity.associate(
                self.dimse.host,
                self.dimse.port,
                contexts,
                self.dimse.called_ae,
                ext_neg=roles,
                tls_args=tls,
                evt_handlers=handlers,
            )
        except OSError:  # a name that nobody knows
            raise self._silence() from None
        if not assoc.is_established:
            raise self._rejection(assoc) if assoc.is_rejected else guard.fault or self._silence()
        guard.hold(assoc)
        self._assoc = assoc

    def _rejection(self, assoc: "Association") -> PacsError:
        answer, ours = assoc.acceptor.primitive, self.dimse.calling_ae
        reason = None if answer is None else (answer.result_source, answer.diagnostic)
        if reason == CALLED_UNKNOWN:
            return StoreRefusesUsError(
                f"{self.name} is not called {self.dimse.called_ae!r}; correct called_ae in [dimse]"
            )
        if reason == CALLING_UNKNOWN:
            return StoreRefusesUsError(
                f"{self.name} does not know AE title {ours!r}; register it there, or correct calling_ae in [dimse]"
            )
        if reason in BUSY:
            return StoreUnreachableError(f"{self.name} is busy and takes no connection now; try again later")
        return StoreRefusesUsError(f"{self.name} refuses the association of AE title {ours!r}; register it there")

    def _silence(self) -> PacsError:
        """Return the error that says why nothing answered; the bare socket is tried for that."""
        try:
            with socket.create_connection((self.dimse.host, self.dimse.port), timeout=CONNECTION_S) as plain:
                if self.dimse.tls:
                    tls_context(self.pacs).wrap_socket(plain, server_hostname=self.dimse.host).close()
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or (error.reason or "no TLS there").lower().replace("_", " ")
            return StoreTlsError(f"{self.name}: TLS fails ({reason}); see to ca_file, certificate and key in [tls]")
        except OSError as error:
            return StoreUnreachableError(
                f"{self.name} cannot be connected to ({error.strerror or error}); is it up, are host and port in "
                "[dimse] right, does a firewall stand between?"
            )
        return StoreUnreachableError(
            f"{self.name} takes the connection and then says nothing of DICOM; is the port right, and "
            + ("does it take our certificate in [tls]?" if self.dimse.tls else "does it want tls = true?")
        )


def _contexts(kind: str) -> list[Any]:
    from pynetdicom import build_context

    found = [build_context(SERVICES[kind])]
    if kind == "get":
        found += [build_context(film_class, syntax) for film_class in FILM_CLASSES for syntax in FILM_SYNTAXES]
    return found


def _roles() -> list[Any]:
    from pynetdicom import build_role

    return [build_role(each, scp_role=True) for each in FILM_CLASSES]
