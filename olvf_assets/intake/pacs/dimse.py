"""An image store by DICOM's own protocol: C-ECHO, C-FIND, C-GET, C-MOVE, C-STORE.

What lives here: asking, fetching and sending. What does not: the association (`dimse_connection`), what is asked for
(`answers`, `polling`).
"""

import warnings
from collections.abc import Iterator
from datetime import date
from io import BytesIO
from typing import TYPE_CHECKING, Any

from olvf_assets.intake.pacs.answers import MOST_ANSWERS, Answer
from olvf_assets.intake.pacs.dimse_connection import FIND, GET, MOVE, Connection
from olvf_assets.intake.pacs.errors import (
    NotStoredError,
    StoreFailedError,
    StoreRefusesUsError,
    TooManyAnswersError,
)
from olvf_assets.intake.pacs.pacs_file import Pacs

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pynetdicom.events import Event

SUCCESS, PENDING, OUT_OF_RESOURCES, NOT_ASKED_FOR = 0x0000, (0xFF00, 0xFF01), (0xA700, 0xA701, 0xA702), 0xC001
WE_ARE_UNKNOWN = 0xA801  # move destination unknown
STORED = (0x0000, 0xB000, 0xB006, 0xB007)  # the last three with a remark
READ = (
    "StudyInstanceUID", "StudyDate", "SeriesInstanceUID", "Modality", "BodyPartExamined", "StationName",
    "NumberOfSeriesRelatedInstances", "SOPInstanceUID", "SOPClassUID",
)  # fmt: skip
# What pynetdicom raises when the connection is gone, and pydicom when an answer is no data set.
BROKEN = (RuntimeError, ValueError, OSError, TypeError, AttributeError, KeyError, EOFError)
Answers = Iterator["tuple[Dataset, Dataset | None]"]


class DimseStore:
    """A site's image store by DIMSE. Every method raises `PacsError`s, see `errors`.

    Args:
        pacs: the site.
    """

    def __init__(self, pacs: Pacs) -> None:
        self._connection = Connection(pacs, self._take)
        self._name, self._dimse = self._connection.name, self._connection.dimse
        self._came: dict[str, bytes] = {}
        self._asked = False

    def close(self) -> None:
        """End the connection."""
        self._connection.stop()

    def test(self) -> list[str]:
        """Return a line for each thing that was tried and works: the connection, C-ECHO, C-FIND, C-GET or C-MOVE."""
        assoc = self._connection.association("echo")
        found = [f"{self._name} takes connections from AE title {self._dimse.calling_ae!r}"]
        try:
            code = assoc.send_c_echo().get("Status")
        except BROKEN:
            code = None
        if code is None:
            self._connection.broke("a C-ECHO")
        if code != SUCCESS:
            raise StoreFailedError(f"{self._name} answers a C-ECHO{_said(code)}")
        found.append("C-ECHO is answered")
        self._answers(_dataset(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3", StudyDate=""))
        found.append("C-FIND is answered")
        if self._dimse.retrieve == "get":
            self._connection.association("get")
        else:
            self._connection.listen()
            self._connection.association("move")
        return [*found, f"C-{self._dimse.retrieve.upper()} is offered"]

    def studies(self, first: date, last: date | None, modality: str) -> list[Answer]:
        """Return the studies of some days that may hold a modality."""
        days = f"{first:%Y%m%d}-" + (f"{last:%Y%m%d}" if last else "")
        return self._answers(
            _dataset(QueryRetrieveLevel="STUDY", StudyInstanceUID="", StudyDate=days, ModalitiesInStudy=modality)
        )

    def series(self, study_uid: str) -> list[Answer]:
        """Return the series of a study."""
        question = _dataset(
            QueryRetrieveLevel="SERIES", StudyInstanceUID=study_uid, SeriesInstanceUID="", Modality="",
            BodyPartExamined="", StationName="", NumberOfSeriesRelatedInstances=None,
        )  # fmt: skip
        return self._answers(question)

    def instances(self, study_uid: str, series_uid: str) -> list[Answer]:
        """Return the instances of a series."""
        return self._answers(_one(study_uid, series_uid, "", SOPClassUID=""))

    def fetch(self, study_uid: str, series_uid: str, uid: str) -> bytes:
        """Return a DICOM file as it is stored, by C-GET or C-MOVE."""
        question = _one(study_uid, series_uid, uid)
        self._came, self._asked = {}, True
        try:
            if self._dimse.retrieve == "get":
                get = self._connection.association("get")
                self._retrieve("C-GET", lambda: get.send_c_get(question, GET))
            else:
                self._connection.listen()
                move = self._connection.association("move")
                self._retrieve("C-MOVE", lambda: move.send_c_move(question, self._dimse.calling_ae, MOVE))
        finally:
            self._asked = False
        came = self._came
        if not came:
            hint = "; does it know own_address and own_port as ours?" if self._dimse.retrieve == "move" else ""
            raise StoreFailedError(f"{self._name} said that it sent a film, and none came{hint}")
        return came.get(uid) or next(iter(came.values()))

    def send(self, content: bytes) -> None:
        """Store a DICOM file by C-STORE.

        Raises:
            NotStoredError: the store does not take its class or syntax, or answers that it failed.
        """
        from pydicom import dcmread

        dataset = dcmread(BytesIO(content))
        kind = str(dataset.SOPClassUID), str(dataset.file_meta.TransferSyntaxUID)
        assoc = self._connection.to_send(*kind)
        if assoc is None:
            raise NotStoredError(
                f"{self._name} takes no objects of class {kind[0]} in transfer syntax {kind[1]} from AE title "
                f"{self._dimse.calling_ae!r}; allow it to store there"
            )
        self._connection.begin()
        try:
            code = assoc.send_c_store(dataset).get("Status")
        except BROKEN:
            code = None
        if code is None:
            self._connection.broke("a C-STORE")
        if code not in STORED:
            raise NotStoredError(f"{self._name} did not store an object{_said(code)}")

    def _answers(self, question: "Dataset") -> list[Answer]:
        """Return the answers to a C-FIND.

        Raises:
            TooManyAnswersError: more than the store gives, or than are taken.
        """
        found: list[Answer] = []
        assoc, what = self._connection.association("find"), f"a C-FIND on {question.QueryRetrieveLevel.lower()} level"
        self._connection.begin()
        code = None
        for code, answer in self._each(lambda: assoc.send_c_find(question, FIND)):
            if code in PENDING:
                found.append({} if answer is None else _plain(answer))
                if len(found) > MOST_ANSWERS:
                    self._connection.abort()
                    raise TooManyAnswersError(f"{self._name} gives over {MOST_ANSWERS} answers to {what}; raise since")
        if code is None:
            self._connection.broke(what)
        if code in OUT_OF_RESOURCES:
            raise TooManyAnswersError(
                f"{self._name} has more answers to {what} than it gives{_said(code)}; raise since"
            )
        if code != SUCCESS:
            raise StoreFailedError(f"{self._name} could not answer {what}{_said(code)}")
        return found

    def _retrieve(self, what: str, ask: Any) -> None:
        self._connection.begin()
        code = None
        for code, _ in self._each(ask):
            if code is None:
                break
        if code is None:
            self._connection.broke(f"a {what}")
        if code == WE_ARE_UNKNOWN:
            raise StoreRefusesUsError(
                f"{self._name} does not know where AE title {self._dimse.calling_ae!r} is; register it there with the "
                f"address of this machine and port {self._dimse.own_port}"
            )
        if code != SUCCESS and not self._came:
            raise StoreFailedError(f"{self._name} could not send a film by {what}{_said(code)}")

    @staticmethod
    def _each(ask: Any) -> "Iterator[tuple[int | None, Dataset | None]]":
        """Yield status and answer, None as the last status where the connection broke off."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's repeat the values that they are about
            try:
                for status, answer in ask():
                    yield status.get("Status"), answer
            except BROKEN:
                yield None, None

    def _take(self, event: "Event") -> int:
        """Take what the store sends, if anything was asked for; what it is, is looked at later (`received`)."""
        uid = str(getattr(event.request, "AffectedSOPInstanceUID", ""))
        if not self._asked or (self._came and uid not in self._came):
            return NOT_ASKED_FOR
        self._came.setdefault(uid, event.encoded_dataset())
        return SUCCESS


def _one(study_uid: str, series_uid: str, uid: str, **more: Any) -> "Dataset":
    return _dataset(
        QueryRetrieveLevel="IMAGE", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid, SOPInstanceUID=uid, **more
    )


def _dataset(**elements: Any) -> "Dataset":
    from pydicom.dataset import Dataset

    found = Dataset()
    for keyword, value in elements.items():
        setattr(found, keyword, value)
    return found


def _plain(answer: "Dataset") -> Answer:
    """Return what an answer says, as text; an element that cannot be read says nothing."""
    found = {}
    for keyword in READ:
        try:
            value = answer.get(keyword)
            found[keyword] = "" if value is None else str(value).strip(" \0")
        except (*BROKEN, LookupError, OverflowError):
            found[keyword] = ""
    return found


def _said(code: object) -> str:
    return f" (status {code:#06x})" if isinstance(code, int) else ""
