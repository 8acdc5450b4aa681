"""Who handed the films over: `institution.toml` of a landing folder.

What lives here: which keys that file may have, and how it is read. What does not: what a folder must be called (see
`storage/landing_folders.py`), the folder's other files (`landing`), the table made of it (`intake.sheets.sheets`).
"""

import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

from olvf_assets.foundation.settings import Settings
from olvf_assets.intake.landing.landing import INSTITUTION_FILE, LandingError
from olvf_assets.intake.landing.texts import NotTextError, decoded
from olvf_assets.storage.landing_folders import KEY_PATTERN

Role = Literal["development", "external"]
ROLES: tuple[Role, ...] = get_args(Role)
SWITCH = "results_back"
LARGEST_BYTES = 100_000
PLACE = re.compile(r"at line \d+, column \d+|at end of document")


class InstitutionFileError(LandingError):
    """`institution.toml` is missing or says something that is not understood."""


class Institution(Settings):
    """Who handed the films over. `key` is the folder's name and the partition key everywhere.

    `collection` and `licence`: of films that come from a public collection, what it is called and what its terms are.
    `results_back`: whether results are written as DICOM objects for the hospital's image store.
    """

    key: str
    name: str
    role: Role
    country: str | None = None
    contact: str | None = None
    note: str | None = None
    collection: str | None = None
    licence: str | None = None
    results_back: bool = False


def read_institution(folder: Path) -> Institution:
    """Return the institution described by `<folder>/institution.toml`.

    Raises:
        InstitutionFileError: folder or file missing, not TOML, a key unknown or missing, role not understood, or the
            folder's name cannot serve as key.
    """
    path = folder / INSTITUTION_FILE
    key = folder.name
    if not folder.is_dir():
        raise InstitutionFileError(f"{folder} is not a folder; put the hospital's files there (make add-hospital)")
    if not KEY_PATTERN.fullmatch(key):
        raise InstitutionFileError(
            f"{folder}: the folder's name is the institution's key and must be lower-case letters, digits and _, "
            f"starting with a letter; rename it, for example to {_suggested_key(key)!r}"
        )
    if not path.is_file():
        raise InstitutionFileError(
            f'{path} is missing; write it with two lines: name = "Our hospital" and role = "external"'
        )
    try:
        with path.open("rb") as handle:
            content = handle.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise InstitutionFileError(f"{path} is larger than {LARGEST_BYTES} bytes; two lines are enough")
        said: dict[str, Any] = tomllib.loads(decoded(content))
    except NotTextError:
        raise InstitutionFileError(f"{path} is no text in UTF-8, UTF-16 or Shift-JIS; save it again as UTF-8") from None
    except (ValueError, RecursionError) as error:
        place = PLACE.search(str(error))  # the rest of what tomllib says may repeat the file
        where = place.group() if place else "somewhere"
        raise InstitutionFileError(f"{path} is not valid TOML ({where}); values stand in quotes") from None
    return _checked_institution(path, key, said)


def role_between_the_lines(folder: Path) -> str:
    """Return the role that a file which cannot be read as a whole names, `unknown` if it names none or several."""
    try:
        said = (folder / INSTITUTION_FILE).read_bytes()
    except OSError:
        return "unknown"
    words = [role for role in ROLES if role.encode() in said]
    return words[0] if len(words) == 1 else "unknown"


def _checked_institution(path: Path, key: str, said: dict[str, Any]) -> Institution:
    allowed = [field for field in Institution.model_fields if field != "key"]
    unknown = sorted(set(said) - set(allowed))
    if unknown:
        slips = [
            name for name in unknown if get_close_matches(name, allowed, n=1, cutoff=0.7)
        ]  # free text may be a name
        shown = ", ".join(slips) or f"number {list(said).index(unknown[0]) + 1}"
        raise InstitutionFileError(f"{path}: unknown key {shown}; allowed are {', '.join(allowed)}")
    for field in ("name", "role"):
        if field not in said:
            raise InstitutionFileError(f'{path}: {field} is missing; add {field} = "..."')
    if not isinstance(said.get(SWITCH, False), bool):
        raise InstitutionFileError(f"{path}: {SWITCH} must be true or false, without quotes")
    for field, value in said.items():
        if field != SWITCH and (not isinstance(value, str) or not value.strip()):
            raise InstitutionFileError(f"{path}: {field} must be a text in quotes, not {_kind_of(value)}")
    if said["role"] not in ROLES:
        raise InstitutionFileError(
            f'{path}: this role is unknown; write role = "external" (films are only scored) '
            'or role = "development" (films train the networks)'
        )
    return Institution(key=key, **said)


def _kind_of(value: object) -> str:
    """Return what a value is, without the value."""
    return "empty" if isinstance(value, str) else f"a value of type {type(value).__name__}"


def _suggested_key(name: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return words if KEY_PATTERN.fullmatch(words) else f"hospital_{words}".rstrip("_")
