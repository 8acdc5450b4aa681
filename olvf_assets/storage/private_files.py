"""Files that hold a secret.

What lives here: reading such a file, after its rights. What does not: what the secret is for (its reader).
"""

import os
import stat
from pathlib import Path

from olvf_assets.foundation.errors import OlvfError


def require_private(path: Path, error: type[OlvfError]) -> None:
    """Refuse a file that is none, that others of this machine may read, or that belongs to another user.

    Args:
        path: the file.
        error: what to raise.
    """
    if not path.is_file():
        raise error(f"{path} is not a file; move it away and put the right file there")
    status = path.stat()
    if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
        raise error(f"{path} may be read by others on this machine; run: chmod 600 {path}")
    if os.name == "posix" and status.st_uid not in (os.geteuid(), 0):
        raise error(f"{path} belongs to another user of this machine; run: chown {os.geteuid()} {path}")


def private_text(path: Path, error: type[OlvfError], way_out: str) -> str:
    """Return the text of a file that only its owner may read. What goes wrong is told without the bytes that were read.

    Args:
        path: the file.
        error: what to raise: as `require_private`, or where the file is no text or cannot be read.
        way_out: what to do where it is no text.
    """
    require_private(path, error)
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError:
        raise error(f"{path} is no text in UTF-8; {way_out}") from None
    except OSError as fault:
        raise error(f"{path} cannot be read ({fault.strerror}); give this user the right to") from None
