"""One run at a time in a lake that lies in an object store, whichever machine it runs on.

What lives here: the lease, one object in the store, and what becomes of it when its holder dies or is cut off. What
does not: the lock of a data folder (`run_lock.py`), which the kernel frees.

The holder writes the lease anew every few seconds, on the condition that it is still his. One that nobody has written
for two minutes, by the store's own clock, may be taken over; whoever lost his writes no table any more.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from olvf_assets.foundation.errors import MachineError
from olvf_assets.storage.artifacts import read_if_whole, write_atomically
from olvf_assets.storage.object_store import ObjectStoreError, faults_named, opened, patiently
from olvf_assets.storage.run_lock import FOLDER, UNKNOWN, Holder, taken_from_others, this_process

LEASE, CLOCK = "run.lease", "run.clock"
MEMBER_FILE = "lake_member"  # beside the locks of a data folder: by it a folder knows its own dead run's lease
BEAT_S, LOST_AFTER_S = 20.0, 120.0
_held: dict[str, "Lease"] = {}


class LakeInUseError(MachineError):
    """A run on another machine works in the lake."""


class LeaseLostError(MachineError):
    """This run was cut off so long that another took the lake over."""


class Lease:
    """A lease that this process holds.

    Args:
        address: of the lake.
        content: what it says, who holds it.
        e_tag: of the object.
    """

    def __init__(self, address: str, content: dict[str, Any], e_tag: str) -> None:
        self.address, self._content, self._e_tag = address, content, e_tag
        self._guard = threading.Lock()
        self._written_s, self._lost = time.monotonic(), False

    def beat(self) -> None:
        """Write it anew; note whether it is another's now.

        Raises:
            ObjectStoreError: the store does not answer.
        """
        import obstore
        from obstore.exceptions import PreconditionError

        with self._guard, faults_named(self.address):
            if self._lost:
                return
            self._content["beats"] += 1
            store, began_s = opened(self.address), time.monotonic()
            try:
                self._e_tag = _put(store, self._content, {"e_tag": self._e_tag})
            except PreconditionError:  # another's, or ours: written, and the answer went astray
                try:
                    found = obstore.get(store, LEASE)
                    own = json.loads(bytes(found.bytes()))["nonce"] == self._content["nonce"]
                    self._e_tag = found.meta["e_tag"] or ""
                except FileNotFoundError:
                    own = False
                if not own:
                    self._lost = True
                    return
            self._written_s = began_s

    def is_lost(self) -> bool:
        """Return whether another may have it; if it was not written for long, the store is asked."""
        if time.monotonic() - self._written_s > LOST_AFTER_S / 2:
            patiently(self.beat, self.address)
        return self._lost

    def beat_until(self, over: threading.Event) -> None:
        """Write it anew every few seconds until `over` is set."""
        while not over.wait(BEAT_S):
            with suppress(ObjectStoreError):  # the next beat tries again, and `is_lost` asks before a table is written
                self.beat()

    def give_back(self) -> None:
        """Remove it, if it is still this process's; a store that is away keeps it, and it runs out."""
        import obstore

        with suppress(ObjectStoreError):
            self.beat()
            if not self._lost:
                with faults_named(self.address):
                    obstore.delete(opened(self.address), LEASE)


@contextmanager
def hold_lake(
    address: str,
    data: Path,
    run_id: str,
    *,
    wait: bool,
    own: bool = True,
    report: Callable[[str], None] = lambda line: None,
) -> Iterator[None]:
    """Hold a lake for the time of a `with` block; one in the data folder (address "") is held by that folder's lock.

    Args:
        address: as `places.lake_address` gives it.
        data: the data folder.
        run_id: the run, or the command, that holds it; shown to whoever waits.
        wait: whether to wait for whoever holds it, or to raise.
        own: the data folder is held, so that a lease of its own is of a killed run.
        report: told who holds it when waiting begins and every minute after that.

    Raises:
        LakeInUseError: someone holds it, and `wait` is false.
        ObjectStoreError: the store.
    """
    if not address:
        yield
        return
    nonce = uuid.uuid4().hex
    content = {**this_process(run_id)._asdict(), "member": _member(data) if own else nonce, "nonce": nonce, "beats": 0}
    lease = Lease(address, content, _taken(address, content, wait=wait, report=report))
    over = threading.Event()
    thread = threading.Thread(target=lease.beat_until, args=(over,), daemon=True)
    thread.start()
    _held[address] = lease
    try:
        yield
    finally:
        del _held[address]
        over.set()
        thread.join()
        lease.give_back()


def refuse_if_lost(address: str) -> None:
    """Refuse to write a table of a lake that this process held and holds no more.

    Args:
        address: of the lake, or of something in it.

    Raises:
        LeaseLostError: another run has it.
        ObjectStoreError: the store.
    """
    for held, lease in list(_held.items()):
        if address.startswith(held) and lease.is_lost():
            raise LeaseLostError(
                f"this run was cut off from {held} for more than {LOST_AFTER_S:.0f} s, and another one works there; "
                "start the same command again when it has ended: finished work is kept"
            )


def _taken(address: str, content: dict[str, Any], *, wait: bool, report: Callable[[str], None]) -> str:
    """Take the lease, and return the mark of its version."""

    def tried() -> tuple[str | None, Holder]:
        return patiently(lambda: _tried(address, content), address)

    return taken_from_others(tried, address, LakeInUseError, wait=wait, report=report)


def _tried(address: str, content: dict[str, Any]) -> tuple[str | None, Holder]:
    """Return the mark of the lease if it could be taken, else who has it."""
    import obstore
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    store = opened(address)
    with suppress(AlreadyExistsError, PreconditionError):
        return _put(store, content, "create"), UNKNOWN
    try:
        found = obstore.get(store, LEASE)
        said = json.loads(bytes(found.bytes()))
        holder = Holder(**{name: said[name] for name in Holder._fields})
    except FileNotFoundError:  # given back this moment
        return None, UNKNOWN
    own = content["nonce"] == said["nonce"]  # written, and the answer went astray
    if own or said["member"] == content["member"] or _age_s(store, found.meta["last_modified"]) > LOST_AFTER_S:
        with suppress(PreconditionError):
            return _put(store, content, {"e_tag": found.meta["e_tag"]}), UNKNOWN
    return None, holder


def _put(store: Any, content: dict[str, Any], mode: Any) -> str:
    import obstore

    return obstore.put(store, LEASE, json.dumps(content).encode(), mode=mode)["e_tag"] or ""


def _age_s(store: Any, written: datetime) -> float:
    """Return how long ago something was written, by the store's clock."""
    import obstore

    obstore.put(store, CLOCK, b"")
    return (obstore.head(store, CLOCK)["last_modified"] - written).total_seconds()


def _member(data: Path) -> str:
    """Return the name by which a data folder knows leases of its own; only one run at a time is there."""
    file = data / FOLDER / MEMBER_FILE
    known = read_if_whole(file, lambda path: path.read_text(encoding="utf-8").strip())
    if not known:
        known = uuid.uuid4().hex
        text = known
        write_atomically(file, lambda path: path.write_text(text, encoding="utf-8"))
    return known
