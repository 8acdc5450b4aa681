"""Limits of a DIMSE connection: how much, how long, how silent.

What lives here: what pynetdicom does not do by itself. It reads as many bytes as the other side announces, 4 GB at a
time, and waits for them for ever; and now and then its own thread takes the answer that a request waits for. What does
not: what is said on the connection (`dimse`).
"""

import socket
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from olvf_assets.intake.pacs.errors import PacsError, StoreUnreachableError, TooLargeError

if TYPE_CHECKING:
    from pynetdicom.association import Association

# The largest film that is taken (10,000 x 10,000 pixels of 16 bit) with its header, in one request.
LARGEST_BYTES = 256 << 20
LARGEST_PDU_BYTES = 8 << 20  # stores send parts of 16 KiB to 1 MiB, whatever was agreed on
LONGEST_S = 600.0
PIECE_BYTES = 1 << 16
# Confirm at once what came, where the system can: stores send an answer in two parts, and the second waits for that.
_AT_ONCE: int | None = getattr(socket, "TCP_QUICKACK", None)


class _Gate(threading.Event):
    """What an association's thread waits at; it stays closed until it is opened for good."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self._for_good = False

    def wait(self, timeout: float | None = None) -> bool:
        self.reached.set()
        return super().wait(timeout)

    def set(self) -> None:
        if self._for_good:
            super().set()

    def open(self) -> None:
        self._for_good = True
        super().set()


class Guard:
    """Watches one association.

    Args:
        silence_s: how long the other side may say nothing in the middle of a part.
    """

    def __init__(self, silence_s: float = 60.0) -> None:
        self.fault: PacsError | None = None
        self._silence_s, self._gate = silence_s, _Gate()
        self.begin()

    def begin(self) -> None:
        """Begin to count anew: a request is sent."""
        self._bytes, self._until = 0, time.monotonic() + LONGEST_S

    def watch(self, assoc: "Association") -> None:
        """Read an association's socket with limits from now on; past one of them the connection counts as closed.

        What is sent goes at once: pynetdicom sends a request in small parts, and two of them wait 40 ms for each other.
        """
        connection = assoc.dul.socket
        if connection is not None and connection.socket is not None:
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            vars(connection)["recv"] = partial(self._read, connection.socket)

    def hold(self, assoc: "Association") -> None:
        """Keep an association's thread from taking what comes, until `let_go`: whoever asks takes the answers himself.

        pynetdicom holds its thread for each request, and overlooks that it may just have begun a round: one request in
        some thousand then waits for an answer that was thrown away.
        """
        assoc._reactor_checkpoint = self._gate
        self._gate.reached.wait(self._silence_s)

    def let_go(self) -> None:
        """Let the association's thread run: it is needed to end the association."""
        self._gate.open()

    def _read(self, raw: socket.socket, nr_bytes: int) -> bytearray:
        self._bytes += nr_bytes
        if nr_bytes > LARGEST_PDU_BYTES or self._bytes > LARGEST_BYTES:
            self._end(TooLargeError("the image store sends more than any film holds; nothing of it was kept"))
        raw.settimeout(self._silence_s)
        found = bytearray()
        while len(found) < nr_bytes:
            if time.monotonic() > self._until:
                self._end(TooLargeError(f"the image store has been sending one thing for over {LONGEST_S:.0f} s"))
            if _AT_ONCE is not None:
                raw.setsockopt(socket.IPPROTO_TCP, _AT_ONCE, 1)
            try:
                piece = raw.recv(min(PIECE_BYTES, nr_bytes - len(found)))
            except TimeoutError:
                self._end(StoreUnreachableError(f"the image store fell silent for {self._silence_s:.0f} s"))
            if not piece:
                break
            found += piece
        return found

    def _end(self, fault: PacsError) -> None:
        self.fault = fault
        raise OSError("past a limit")
