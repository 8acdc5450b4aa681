"""Base of every settings model, and which settings a piece of work reads.

What lives here: the frozen pydantic base, and `settings_read`, which notes what is read of a profile. Each room keeps
its own `settings.py`; `olvf_assets.profiles` composes them.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ConfigDict

# Through these, and whatever begins with model_, all fields are read at once: printed, compared, hashed, pickled.
_WHOLE = ("__dict__", "copy", "dict", "json")


class Settings(BaseModel):
    """Frozen, and unknown keys are refused: a typo in a profile is an error, never a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __getattribute__(self, name: str) -> Any:
        """Return an attribute, and tell whoever notes what is read."""
        for each in _READERS:
            each.note(self, name)
        return super().__getattribute__(name)


class SettingsRead:
    """Which settings of a profile were read."""

    def __init__(self, profile: Settings) -> None:
        self._profile = profile
        self._places: dict[int, list[str]] = {}  # a default may be one object in several places
        for place, settings in _parts(profile, ""):
            self._places.setdefault(id(settings), []).append(place)
        self.paths: set[str] = set()

    def note(self, settings: Settings, name: str) -> None:
        """Note a reading; one of a part that leads on to others is no reading yet."""
        places = self._places.get(id(settings))
        if places is None:
            return
        fields = _fields(settings)
        if name in fields and not isinstance(fields[name], Settings):
            self.paths.update(f"{place}.{name}".lstrip(".") for place in places)
        elif name in _WHOLE or name.startswith("model_"):
            self.paths.update(places)

    def note_paths(self, profile: Settings, paths: Iterable[str]) -> None:
        """Note readings by their paths, if they are of this profile."""
        if profile is self._profile:
            self.paths.update(paths)

    def digests(self) -> dict[str, str]:
        """Return {path: digest of its value} of what was read, with paths such as `classification.folds`."""
        return {path: setting_digest(self._profile, path) for path in sorted(self.paths)}


_READERS: list[SettingsRead] = []


@contextmanager
def settings_read(profile: Settings) -> Iterator[SettingsRead]:
    """Note which settings of a profile are read within the block, in this process, by whatever thread."""
    reader = SettingsRead(profile)
    _READERS.append(reader)
    try:
        yield reader
    finally:
        _READERS.remove(reader)


def note_read(profile: Settings, paths: Iterable[str]) -> None:
    """Note that something rests on settings, by their paths, though not now are they read: it was made of them before.

    Args:
        profile: the settings.
        paths: as `SettingsRead.digests` gives them.
    """
    for each in _READERS:
        each.note_paths(profile, paths)


def setting_digest(profile: Settings, path: str) -> str:
    """Return a digest of the value at a path (see `SettingsRead.digests`); `absent` where there is no such setting."""
    value: Any = profile
    for name in filter(None, path.split(".")):
        if not isinstance(value, Settings) or name not in _fields(value):
            return "absent"
        value = _fields(value)[name]
    text = json.dumps(_plain(value), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _parts(settings: Settings, place: str) -> Iterator[tuple[str, Settings]]:
    yield place, settings
    for name, value in _fields(settings).items():
        if isinstance(value, Settings):
            yield from _parts(value, f"{place}.{name}".lstrip("."))


def _fields(settings: Settings) -> dict[str, Any]:
    """Return a model's fields without that counting as a reading."""
    fields: dict[str, Any] = object.__getattribute__(settings, "__dict__")
    return fields


def _plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return {name: _plain(each) for name, each in _fields(value).items()}
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
