"""What can go wrong between us and an image store, each with a name and a way out.

What lives here: the errors of this station. What does not: what a site's file may say (`pacs_file`). No message names a
patient, an identifier of a study, or a secret.
"""

from olvf_assets.foundation.errors import OlvfError


class PacsError(OlvfError):
    """Films could not be got from an image store, or results not be sent to it; nothing that was done is undone."""


class PacsFileError(PacsError):
    """`pacs.toml` is missing or says something that is not understood."""


class PacsCredentialsError(PacsError):
    """The name and password (or token) for an image store are missing, incomplete, or may be read by others."""


class StoreUnreachableError(PacsError):
    """No connection to the image store can be made, or it broke."""


class StoreTlsError(PacsError):
    """The image store's certificate is not accepted, or ours is not."""


class StoreRefusesUsError(PacsError):
    """The image store does not know our AE title, our login, or may not give us what we ask."""


class StoreLacksServiceError(PacsError):
    """The image store does not offer what is asked of it: no such route, no such service."""


class StoreFailedError(PacsError):
    """The image store answered that it failed, or in a way that is not DICOM's."""


class TooManyAnswersError(StoreFailedError):
    """A question has more answers than the store gives, or than are taken."""


class TooLargeError(StoreFailedError):
    """What the store sends is larger than any film, or never ends."""


class NotStoredError(PacsError):
    """The image store did not take a file."""
