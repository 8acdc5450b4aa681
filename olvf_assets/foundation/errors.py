"""The roots of every exception a caller may catch.

What lives here: `OlvfError`, `MachineError` and `StaleError`. Each room derives its own named errors from them, next to
the code that raises them. Messages name the file, the field and the way out.
"""

import errno

# What the system says when a disk, a mount or the whole system fails, whichever file is asked for.
_OF_THE_MACHINE = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ENODEV)
)


class OlvfError(Exception):
    """Base of all errors that OLVF raises on purpose (bad input, impossible request, broken promise)."""


class MachineError(OlvfError):
    """The machine is at fault (disk full, key unreadable, folder locked), not what a hospital handed over.

    It ends the run: whatever else is an `OlvfError` stops one hospital, and the others go on.
    """


class SystemFaultError(MachineError):
    """The system failed (no memory, a disk that does not answer, no process), whatever file was asked for."""


class StaleError(OlvfError):
    """Tables or weights at hand are of others than those there now; the message names what to make again.

    It ends the run, as a fault of the machine does: no hospital's input is to blame.
    """


def is_of_the_machine(error: OSError) -> bool:
    """Return whether an error of the system says something of the machine, not of the one file that was asked for."""
    return error.errno in _OF_THE_MACHINE
