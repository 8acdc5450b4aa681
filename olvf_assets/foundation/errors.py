"""The one root of every exception a caller may catch.

What lives here: `OlvfError`. Each room derives its own named errors from it, next to the code that raises them.
Messages name the file, the field and the way out.
"""


class OlvfError(Exception):
    """Base of all errors that OLVF raises on purpose (bad input, impossible request, broken promise)."""
