"""What is to be told and what was: `data/alerts/state.json`.

What lives here: saying a thing once, and trying again what could not be handed over. What does not: sending
(`channels`). A trouble has a key; while it lasts it is told of once, and anew when it came back after it was over.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from olvf_assets.alerts.channels import Send
from olvf_assets.alerts.messages import Message
from olvf_assets.alerts.settings import FOLDER
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.storage.artifacts import read_if_whole, read_json, write_atomically

STATE = "state.json"
MOST_WAITING = 100  # of each way; then the oldest go
MOST_AT_ONCE = 5  # handed over in one go by each way: the rest next time
MOST_SEEN = 2000
OF_RUN = "run "  # how the key of a run that failed begins; its id follows


class Outbox:
    """What is to be told and what was.

    Args:
        data: the data folder.
        now_s: the time now, in seconds since 1970.

    Attributes:
        since_s: up to when runs were looked at; now, where nothing was ever looked at.
        troubles: what lasts, by key; the value tells one state of it from another.
        seen: runs that were looked at.
        sites: the stale hospitals that the UI shows; None: it was never told.
    """

    def __init__(self, data: Path, now_s: float) -> None:
        self.file = data / FOLDER / STATE
        said: dict[str, Any] = read_if_whole(self.file, read_json) or {}
        self.since_s = float(said.get("since_s", now_s))
        self.troubles: dict[str, str] = dict(said.get("troubles", {}))
        self.seen: list[str] = list(said.get("seen", []))
        self.sites: str | None = said.get("sites")
        self._waiting: dict[str, list[Any]] = dict(said.get("waiting", {}))

    def tell(self, key: str, state: str, message: Message, ways: Mapping[str, Send]) -> bool:
        """Put a message into the outbox unless this state of a trouble was told of already; return whether it was put.

        Args:
            key: of the trouble.
            state: told apart from others of the same trouble.
            message: what is said.
            ways: by which.
        """
        if self.troubles.get(key) == state:
            return False
        self.troubles[key] = state
        for way in ways:
            self._waiting[way] = [*self._waiting.get(way, []), list(message)][-MOST_WAITING:]
        return True

    def over(self, key: str) -> None:
        """Note that a trouble is over."""
        self.troubles.pop(key, None)

    def hand_over(self, ways: Mapping[str, Send], report: Callable[[str], None]) -> int:
        """Send what waits, oldest first, and return how many messages were handed over; a way that fails waits.

        Args:
            ways: what waits for others is dropped: nobody is told by them any more.
            report: told why a message could not be handed over.
        """
        done = 0
        self._waiting = {way: self._waiting.get(way, []) for way in ways}
        for way, send in ways.items():
            waiting = self._waiting[way]
            for kind, subject, lines, url in waiting[:MOST_AT_ONCE]:
                try:
                    send(Message(kind, subject, tuple(lines), url))
                except OlvfError as error:
                    report(f"{error}; {len(waiting)} messages wait")
                    break
                waiting.pop(0)
                done += 1
                self.keep()  # a tick that is killed now does not say it twice
        return done

    @property
    def waiting(self) -> int:
        """Return how many messages are not handed over yet."""
        return sum(map(len, self._waiting.values()))

    def keep(self) -> None:
        """Write it down.

        Raises:
            DiskFullError, WriteFaultError: the disk.
        """
        self.seen = self.seen[-MOST_SEEN:]
        self.troubles = {key: state for key, state in self.troubles.items() if not self._is_past(key)}
        said = {
            "since_s": self.since_s,
            "troubles": self.troubles,
            "seen": self.seen,
            "sites": self.sites,
            "waiting": self._waiting,
        }
        text = json.dumps(said, indent=1, sort_keys=True)
        write_atomically(self.file, lambda file: file.write_text(text, encoding="utf-8"))

    def _is_past(self, key: str) -> bool:
        """Return whether a trouble is a run that nobody looks at any more."""
        return key.startswith(OF_RUN) and key.removeprefix(OF_RUN) not in self.seen
