"""Errors that nobody foresaw, told without what they carry.

What lives here: making of any exception one whose message, arguments and chain hold nothing of a hospital's files.
What does not: who asks for that (`orchestration`, for tables that read a landing folder), errors that are foreseen.

Python's own errors repeat what they stumbled over: an OSError the path, a UnicodeError the bytes, a KeyError the cell.
Dagster keeps message and chain of each in its event log, and a real file name or patient id would stay there.
"""

import errno
import re
import traceback
from pathlib import Path

from olvf_assets.foundation.errors import OlvfError, SystemFaultError, is_of_the_machine

# A patient's or film's pseudonym, or a hidden word of a path, see `intake.privacy.safe_paths`.
HIDDEN = re.compile(r"\b(?:[PF][0-9a-f]{16}|x[a-p]{8})\b")
WHO_IS = "Whoever holds the key learns what a hidden name stands for by: python -m olvf_assets whois NAME"
PACKAGE = Path(__file__).resolve().parents[1]


class UnexpectedError(OlvfError):
    """Something went wrong that nobody foresaw; says where in our code, and nothing of the file."""


def told_without_content(error: Exception, what: str) -> OlvfError:
    """Return an error to raise in place of another: no cause, no context, no words but ours.

    Args:
        error: an `OlvfError` comes back itself, cut off from what it came from, since its message is ours.
        what: what was being done, as the message begins, such as "subjects of institution_3".
    """
    if isinstance(error, OlvfError):
        error.__cause__, error.__context__ = None, None
        if len(error.args) == 1 and HIDDEN.search(str(error.args[0])) and WHO_IS not in str(error.args[0]):
            error.args = (f"{error.args[0]}\n{WHO_IS}",)
        return error
    name, place = type(error).__name__, _our_line(error)
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and is_of_the_machine(error)):
        code = (isinstance(error, OSError) and error.errno) or 0
        said = f" ({errno.errorcode[code]})" if code in errno.errorcode else ""
        return SystemFaultError(
            f"{what}: the system failed with {name}{said} at {place}; look at disk, mounts and memory of this machine, "
            "then start the same command again"
        )
    return UnexpectedError(
        f"{what}: {name} at {place}. What it said is not repeated, since it may name a patient; whoever may see the "
        "files can run the same step by hand. Please report type and line"
    )


def _our_line(error: Exception) -> str:
    """Return file, line and function of ours that was running."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).resolve().is_relative_to(PACKAGE)]
    if not ours:
        return "a line that is not ours"
    path = Path(ours[-1].filename).resolve().relative_to(PACKAGE.parent)
    return f"{path.as_posix()}:{ours[-1].lineno} ({ours[-1].name})"
