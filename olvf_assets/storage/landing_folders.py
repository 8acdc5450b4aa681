"""Which folders under `data/landing` are institutions.

What lives here: what a folder must be called to be one, and finding those that are. What does not: what lies in such a
folder (`intake.landing`).
"""

import re
from pathlib import Path

from olvf_assets.foundation.errors import MachineError, OlvfError

KEY_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,62}")


class InstitutionKeyError(OlvfError):
    """A name cannot be an institution's key."""


class LandingUnreadableError(MachineError):
    """The folder of landing folders may not be read."""


def landing_folders(landing: Path) -> list[str]:
    """Return the keys of all institutions that have a folder under `landing`, sorted.

    Raises:
        LandingUnreadableError: this user may not look there.
    """
    return [name for name in _folders(landing) if KEY_PATTERN.fullmatch(name)]


def odd_folders(landing: Path) -> str | None:
    """Return a line about folders whose names cannot be keys, if there are any. It repeats no name: who knows whose."""
    odd = [name for name in _folders(landing) if not KEY_PATTERN.fullmatch(name)]
    if not odd:
        return None
    return (
        f"{len(odd)} folders under data/landing are not taken in: their names are no institution keys (lower-case "
        "letters, digits and _, starting with a letter); rename them. To see them: "
        f"ls data/landing | grep -vxE '{KEY_PATTERN.pattern}'"
    )


def checked_key(name: str) -> str:
    """Return `name` if it can be an institution's key; it will be part of file paths and of Delta's predicates.

    Raises:
        InstitutionKeyError: it cannot.
    """
    if not KEY_PATTERN.fullmatch(name):
        raise InstitutionKeyError(
            "this partition's name cannot be an institution's key (lower-case letters, digits and _, starting with a "
            "letter); delete the partition in the UI, rename the folder under data/landing, and register it: "
            "python -m olvf_assets register"
        )
    return name


def _folders(landing: Path) -> list[str]:
    try:
        return sorted(each.name for each in landing.iterdir() if not each.name.startswith(".") and each.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise LandingUnreadableError(f"{landing} cannot be read ({error.strerror}); give this user the right") from None
