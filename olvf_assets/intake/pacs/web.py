"""HTTP to an image store: with limits, without what a store does not need to know, and with named errors.

What lives here: the session (login, certificates, limits of size and time) and what its failures mean. What does not:
what is asked (`dicomweb`, `orthanc`).

Nothing is asked compressed: films do not get smaller by it, and Orthanc spends 22 times as long on them. Redirections
are not followed, proxies and `.netrc` of this machine not looked at: a password goes where `pacs.toml` says.
"""

import logging
import re
import time
from base64 import b64encode
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeVar

from olvf_assets.intake.pacs.connection_guard import LARGEST_BYTES, LONGEST_S
from olvf_assets.intake.pacs.credentials import credentials, tls_files
from olvf_assets.intake.pacs.errors import (
    PacsError,
    StoreFailedError,
    StoreLacksServiceError,
    StoreRefusesUsError,
    StoreTlsError,
    StoreUnreachableError,
    TooLargeError,
    TooManyAnswersError,
)
from olvf_assets.intake.pacs.pacs_file import Pacs, Web

if TYPE_CHECKING:
    import requests

LARGEST_ANSWER_BYTES = 32 << 20  # of text; 20,000 studies take 10 MB
PIECE_BYTES = 1 << 16
Found = TypeVar("Found")


def session_of(pacs: Pacs, web: Web) -> "requests.Session":
    """Return a session for a site's services, logged in.

    Raises:
        PacsCredentialsError: name, password, token or a certificate is missing or may be read by others.
    """
    import requests

    secret = credentials(pacs, web.login)
    ca_file, certificate, key = tls_files(pacs)
    for each in ("dicomweb_client", "retrying", "urllib3"):  # their logs repeat identifiers
        logging.getLogger(each).setLevel(logging.CRITICAL + 1)
    session = requests.Session()
    session.trust_env = False
    session.max_redirects = 0
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": "OLVF"})
    session.verify = str(ca_file) if ca_file else True
    session.cert = (str(certificate), str(key)) if certificate and key else None
    if web.login == "basic":
        session.headers["Authorization"] = f"Basic {b64encode(f'{secret.user}:{secret.password}'.encode()).decode()}"
    elif web.login == "token":
        session.headers["Authorization"] = f"Bearer {secret.token}"
    for scheme in ("http://", "https://"):
        session.mount(scheme, _adapter(web.timeout_s))
    return session


def _adapter(timeout_s: float) -> "requests.adapters.HTTPAdapter":
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPResponse

    class Limited(HTTPAdapter):
        """Reads no more of an answer, and no longer, than a film can need."""

        def send(self, request: Any, *_: Any, **given: Any) -> Any:
            response = super().send(request, **{**given, "stream": True, "timeout": (min(10.0, timeout_s), timeout_s)})
            film = "application/dicom" in request.headers.get("Accept", "") and "json" not in request.headers["Accept"]
            raw = response.raw
            try:
                body = _limited(raw, LARGEST_BYTES if film else LARGEST_ANSWER_BYTES)
            finally:
                raw.release_conn()
            headers = {name: said for name, said in raw.headers.items() if name.lower() != "content-encoding"}
            whole = HTTPResponse(
                BytesIO(body), headers=headers, status=raw.status, reason=raw.reason, preload_content=False
            )
            return self.build_response(request, whole)

    return Limited()


def _limited(raw: Any, largest: int) -> bytes:
    until, found = time.monotonic() + LONGEST_S, bytearray()
    for piece in raw.stream(PIECE_BYTES, decode_content=True):
        found += piece
        if len(found) > largest:
            raw.close()
            raise TooLargeError("the image store sends more than any film holds; nothing of it was kept")
        if time.monotonic() > until:
            raw.close()
            raise TooLargeError(f"the image store has been sending one thing for over {LONGEST_S:.0f} s")
    return bytes(found)


def asked(call: Callable[[], Found], name: str, key: str) -> Found:
    """Return `call()`; what it raises because of the store becomes a named error that repeats nothing the store said.

    Args:
        call: asks by a session of `session_of`.
        name: of the store, for the message.
        key: of the table in `pacs.toml` that says where it is.
    """
    import requests
    from urllib3.exceptions import HTTPError

    try:
        return call()
    except PacsError:
        raise
    except requests.exceptions.SSLError as error:
        fault: PacsError = StoreTlsError(
            f"{name}: TLS fails ({_tls_reason(error)}); see to ca_file, certificate and key in [tls]"
        )
    except requests.exceptions.TooManyRedirects:
        fault = StoreLacksServiceError(f"{name} sends us elsewhere; write its own address into url in [{key}]")
    except requests.exceptions.HTTPError as error:
        fault = _of_status(0 if error.response is None else error.response.status_code, name, key)
    except requests.exceptions.Timeout:
        fault = StoreUnreachableError(f"{name} did not answer in time; is it up, is url in [{key}] right?")
    except requests.exceptions.InvalidJSONError:  # which counts as an OSError
        fault = _no_answer(name, key)
    except (HTTPError, OSError):
        fault = StoreUnreachableError(
            f"{name} cannot be connected to, or the connection broke off; is it up, is url in [{key}] right, does a "
            "firewall stand between?"
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        fault = _no_answer(name, key)
    raise fault


def _no_answer(name: str, key: str) -> PacsError:
    return StoreFailedError(f"{name} gives an answer that is not what DICOMweb promises; is url in [{key}] right?")


def _of_status(status: int, name: str, key: str) -> PacsError:
    if status in (401, 407):
        return StoreRefusesUsError(
            f"{name} does not accept our login; see to login in [{key}] and to name and password"
        )
    if status == 403:
        return StoreRefusesUsError(f"{name} knows us and does not allow this; have it allowed there")
    if status in (404, 405, 406, 410, 501):
        return StoreLacksServiceError(f"{name} has no such service or object (HTTP {status}); is url in [{key}] right?")
    if status == 413:
        return TooManyAnswersError(f"{name} has more answers than it gives (HTTP 413); raise since in [what]")
    return StoreFailedError(f"{name} failed (HTTP {status}); its log says why")


def _tls_reason(error: Exception) -> str:
    for pattern in (r"certificate verify failed: ([A-Za-z ,'-]+)", r"\[SSL: ([A-Z0-9_]+)\]"):
        if match := re.search(pattern, str(error)):
            return match[1].strip().lower().replace("_", " ")
    return "no certificate that we trust"
