"""What an image store says that it holds.

What lives here: series and instances as both protocols give them, held against what a site wants. What does not: the
protocols (`dimse`, `web`). Whatever a store says is foreign: a UID is only what looks like one.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple, Protocol

from olvf_assets.intake.pacs.errors import TooManyAnswersError
from olvf_assets.intake.pacs.pacs_file import Wanted

UID = re.compile(r"(?=.{1,64}\Z)[0-9]+(\.[0-9]+)*")
DAY = re.compile(r"(\d{4})[.]?(\d{2})[.]?(\d{2})")  # 2026.11.27 is how ACR-NEMA wrote it
DAYS_ASKED_AT_A_TIME = 7  # many stores give the first some hundred answers only
LONGEST_AHEAD = timedelta(days=400)  # of today, for studies by clocks that are ahead
MOST_ANSWERS = 20_000  # to one question
# Storage classes whose objects can be films.
FILM_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.1": "Computed Radiography Image Storage",
    "1.2.840.10008.5.1.4.1.1.1.1": "Digital X-Ray Image Storage - For Presentation",
    "1.2.840.10008.5.1.4.1.1.1.1.1": "Digital X-Ray Image Storage - For Processing",
}
ABOUT_SERIES = ("Modality", "BodyPartExamined", "StationName")
Answer = dict[str, str]  # by keyword; several values of an element stand with \ between them


class Series(NamedTuple):
    """A series as the store describes it; None and "" where it does not say."""

    study_uid: str
    uid: str
    day: date | None
    modality: str = ""
    body_part: str = ""
    station: str = ""
    n_instances: int | None = None


class Instance(NamedTuple):
    """An instance of a series, and its storage class if the store says it."""

    uid: str
    sop_class: str = ""


@dataclass
class Odd:
    """How many answers could not be used, by why."""

    counts: dict[str, int] = field(default_factory=dict)

    def note(self, why: str) -> None:
        """Count one more."""
        self.counts[why] = self.counts.get(why, 0) + 1


class ImageStore(Protocol):
    """What both protocols can do. All of them raise `PacsError`s only."""

    def close(self) -> None:
        """End the connections; the next question opens new ones."""
        ...

    def test(self) -> list[str]:
        """Return a line for each thing that was tried and works."""
        ...

    def studies(self, first: date, last: date | None, modality: str) -> list[Answer]:
        """Return the studies of some days (the last included; None: open) that may hold a modality."""
        ...

    def series(self, study_uid: str) -> list[Answer]:
        """Return the series of a study."""
        ...

    def instances(self, study_uid: str, series_uid: str) -> list[Answer]:
        """Return the instances of a series."""
        ...

    def fetch(self, study_uid: str, series_uid: str, uid: str) -> bytes:
        """Return a DICOM file as it is stored."""
        ...

    def send(self, content: bytes) -> None:
        """Store a DICOM file."""
        ...


def is_uid(text: str) -> bool:
    """Return whether a text can be a UID: digits and dots, 64 at most. Leading zeros are common, and let pass."""
    return UID.fullmatch(text) is not None


def day_of(text: str) -> date | None:
    """Return the day that a DICOM date says, None if it says none."""
    match = DAY.fullmatch(text.strip())
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


def series_of_days(store: ImageStore, wanted: Wanted, first: date, today: date, odd: Odd) -> Iterator[Series]:
    """Yield the wanted series of all studies from a day on, also of days to come, as a clock may be wrong."""
    seen: set[str] = set()
    for start, end in _windows(first, today):
        for modality in wanted.modalities:
            for answer in _studies(store, start, end, modality, today):
                study, day = answer.get("StudyInstanceUID", ""), day_of(answer.get("StudyDate", ""))
                if not is_uid(study):
                    odd.note("a study without a usable UID")
                elif study not in seen and not (day is not None and day < first):
                    seen.add(study)
                    yield from series_of_study(store, wanted, study, day, odd)


def series_of_study(store: ImageStore, wanted: Wanted, study: str, day: date | None, odd: Odd) -> Iterator[Series]:
    """Yield the wanted series of a study."""
    known: set[str] = set()
    for answer in store.series(study):
        uid, count = answer.get("SeriesInstanceUID", ""), answer.get("NumberOfSeriesRelatedInstances", "")
        if not is_uid(uid):
            odd.note("a series without a usable UID")
            continue
        if answer.get("StudyInstanceUID", study) != study:
            odd.note("a series of another study than was asked for")
            continue
        modality, part, station = (answer.get(each, "").strip() for each in ABOUT_SERIES)
        found = Series(
            study, uid, day, modality, part, station, int(count) if re.fullmatch(r"\d{1,9}", count) else None
        )
        if uid not in known and is_wanted(found, wanted):
            known.add(uid)
            yield found


def is_wanted(series: Series, wanted: Wanted) -> bool:
    """Return whether a series is of a kind that a site asked for; what the store does not say is no reason against it.

    Only a body part that is not said can be one (`unknown_body_part`).
    """
    if series.modality and series.modality.upper() not in {each.upper() for each in wanted.modalities}:
        return False
    if series.station and wanted.stations and series.station not in wanted.stations:
        return False
    if not series.body_part:
        return wanted.unknown_body_part or not wanted.body_parts
    return not wanted.body_parts or _letters(series.body_part) in {_letters(each) for each in wanted.body_parts}


def instances_of(store: ImageStore, series: Series, odd: Odd) -> list[Instance]:
    """Return the instances of a series that can be films, sorted by UID."""
    found: dict[str, Instance] = {}
    for answer in store.instances(series.study_uid, series.uid):
        uid, sop_class = answer.get("SOPInstanceUID", ""), answer.get("SOPClassUID", "").strip()
        if not is_uid(uid):
            odd.note("an instance without a usable UID")
        elif answer.get("SeriesInstanceUID") not in (None, "", series.uid):
            odd.note("an instance of another series than was asked for")
        elif sop_class and sop_class not in FILM_CLASSES:
            odd.note("an instance of a class that holds no film")
        else:
            found[uid] = Instance(uid, sop_class)
    return sorted(found.values())


def _letters(text: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", text.upper())


def _windows(first: date, today: date) -> Iterator[tuple[date, date | None]]:
    """Yield periods from a day on, the last one without an end."""
    step = timedelta(days=DAYS_ASKED_AT_A_TIME)
    while first + step < today:
        yield first, first + step - timedelta(days=1)
        first += step
    yield first, None


def _studies(store: ImageStore, first: date, last: date | None, modality: str, today: date) -> Iterator[Answer]:
    """Yield the studies of a period; where there are more than the store gives at once, of parts of it."""
    try:
        answers = store.studies(first, last, modality)
    except TooManyAnswersError:
        if first == last or first > today + LONGEST_AHEAD:
            raise
        middle = first + (timedelta(days=DAYS_ASKED_AT_A_TIME) if last is None else (last - first) // 2)
        yield from _studies(store, first, middle, modality, today)
        yield from _studies(store, middle + timedelta(days=1), last, modality, today)
    else:
        yield from answers


Report = Callable[[str], None]
