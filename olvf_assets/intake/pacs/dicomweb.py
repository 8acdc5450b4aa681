"""An image store by DICOMweb: QIDO-RS, WADO-RS, STOW-RS.

What lives here: asking, fetching and sending, by dicomweb-client. What does not: the session and its limits (`web`),
what is asked for (`answers`, `polling`). Films are fetched as bytes: read into a data set and written again, what a
maker's odd header says could be lost.
"""

import re
from collections.abc import Callable
from datetime import date
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

from olvf_assets.intake.pacs.answers import MOST_ANSWERS, Answer
from olvf_assets.intake.pacs.errors import NotStoredError, StoreFailedError, StoreLacksServiceError, TooManyAnswersError
from olvf_assets.intake.pacs.pacs_file import Pacs
from olvf_assets.intake.pacs.web import asked, session_of

if TYPE_CHECKING:
    import requests

AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
PAGE = 500  # answers at a time
STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"
READ = {
    STUDY: "StudyInstanceUID", "00080020": "StudyDate", SERIES: "SeriesInstanceUID", "00080060": "Modality",
    "00180015": "BodyPartExamined", "00081010": "StationName", "00201209": "NumberOfSeriesRelatedInstances",
    INSTANCE: "SOPInstanceUID", "00080016": "SOPClassUID",
}  # fmt: skip
ABOUT_SERIES = ["BodyPartExamined", "StationName", "NumberOfSeriesRelatedInstances"]


class WebStore:
    """A site's image store by DICOMweb. Every method raises `PacsError`s, see `errors`.

    Args:
        pacs: the site.

    Raises:
        PacsCredentialsError: name, password, token or a certificate is missing or may be read by others.
    """

    def __init__(self, pacs: Pacs) -> None:
        from dicomweb_client import DICOMwebClient

        if pacs.dicomweb is None:
            raise ValueError("this site has no [dicomweb]")
        self._url = pacs.dicomweb.url
        self._name = f"the image store of {pacs.institution} ({self._url})"
        self._session = session_of(pacs, pacs.dicomweb)
        self._client = DICOMwebClient(self._url, session=self._session, timeout=pacs.dicomweb.timeout_s)
        self._client.set_http_retry_params(retry=False)

    def close(self) -> None:
        """End the connections."""
        self._session.close()

    def test(self) -> list[str]:
        """Return a line for each thing that was tried and works."""
        self._asked(lambda: self._client.search_for_studies(limit=1))
        return [f"{self._name} lets us in", "QIDO-RS is answered"]

    def studies(self, first: date, last: date | None, modality: str) -> list[Answer]:
        """Return the studies of some days that may hold a modality."""
        days = f"{first:%Y%m%d}-" + (f"{last:%Y%m%d}" if last else "")
        filters = {"StudyDate": days, "ModalitiesInStudy": modality}
        return self._pages(
            STUDY, lambda **page: self._client.search_for_studies(search_filters=filters, **page)
        )  # fmt: skip

    def series(self, study_uid: str) -> list[Answer]:
        """Return the series of a study."""
        return self._pages(
            SERIES, lambda **page: self._client.search_for_series(study_uid, fields=ABOUT_SERIES, **page)
        )  # fmt: skip

    def instances(self, study_uid: str, series_uid: str) -> list[Answer]:
        """Return the instances of a series."""
        return self._pages(INSTANCE, lambda **page: self._client.search_for_instances(study_uid, series_uid, **page))

    def fetch(self, study_uid: str, series_uid: str, uid: str) -> bytes:
        """Return a DICOM file as it is stored, by WADO-RS."""
        path = f"{self._url}/studies/{study_uid}/series/{series_uid}/instances/{uid}"
        return self._asked(lambda: _part(_sound(self._session.get(path, headers={"Accept": AS_STORED}))))

    def send(self, content: bytes) -> None:
        """Store a DICOM file by STOW-RS.

        Raises:
            NotStoredError: the store answers that it did not.
        """
        from pydicom import dcmread

        try:
            answer = self._asked(lambda: self._client.store_instances([dcmread(BytesIO(content))]))
        except (StoreFailedError, StoreLacksServiceError) as error:
            raise NotStoredError(f"an object was not stored: {error}") from None
        if failed := answer.get("FailedSOPSequence"):  # Orthanc gives an empty one when all went well
            reason = failed[0].get("FailureReason")
            raise NotStoredError(
                f"{self._name} did not store an object" + (f" (reason {reason:#06x})" if reason else "")
            )

    def _asked(self, call: Callable[[], Any]) -> Any:
        return asked(call, self._name, "dicomweb")

    def _pages(self, key: str, ask: Callable[..., Any]) -> list[Answer]:
        """Return all answers, page by page, until one brings nothing new: some stores give less than a page, some all.

        Raises:
            TooManyAnswersError: there are more than are taken.
        """
        found: list[Answer] = []
        seen: set[str] = set()
        while True:
            page = self._asked(partial(_listed, ask, len(found)))
            fresh = [answer for answer in page if answer.get(READ[key], "") not in seen]
            seen.update(answer.get(READ[key], "") for answer in fresh)
            found += fresh
            if not fresh:
                return found
            if len(found) > MOST_ANSWERS:
                raise TooManyAnswersError(f"{self._name} gives over {MOST_ANSWERS} answers; raise since in [what]")


def _listed(ask: Callable[..., Any], offset: int) -> list[Answer]:
    answers = ask(limit=PAGE, offset=offset)
    if not isinstance(answers, list):
        raise ValueError("no list of answers")
    return [_plain(answer) for answer in answers]


def _plain(answer: Any) -> Answer:
    """Return what one answer (DICOM JSON, PS3.18 F) says, as text; an element of another form says nothing."""
    found = {}
    for tag, keyword in READ.items():
        element = answer.get(tag) if isinstance(answer, dict) else None
        values = element.get("Value") if isinstance(element, dict) else None
        texts = [str(each) for each in values if isinstance(each, str | int)] if isinstance(values, list) else []
        found[keyword] = "\\".join(texts).strip(" \0")
    return found


def _sound(response: "requests.Response") -> "requests.Response":
    response.raise_for_status()
    return response


def _part(response: "requests.Response") -> bytes:
    """Return the first part of a multipart answer, or an answer that is one file.

    Raises:
        StoreFailedError: the answer is neither, or is cut off.
    """
    said, body = response.headers.get("Content-Type", ""), response.content
    if said.startswith("application/dicom") and "json" not in said:
        return body
    match = re.search(r'boundary="?([^";,\s]{1,100})', said)
    if not said.startswith("multipart/related") or match is None:
        raise StoreFailedError("the image store answers a request for a film with something else")
    boundary = b"--" + match[1].encode()
    begin = body.find(b"\r\n\r\n", body.find(boundary))
    end = body.find(b"\r\n" + boundary, begin + 2)
    if begin < 0 or end < 0:
        raise StoreFailedError("the image store's answer is cut off")
    return body[begin + 4 : end]
