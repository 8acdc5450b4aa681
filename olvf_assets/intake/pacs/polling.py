"""Fetching what is new in a site's image store.

What lives here: what is asked for, what is taken now and what waits, and keeping account of each instance. What does
not: the protocols (`dimse`, `dicomweb`), the file with the account (`state`), when it is done
(`orchestration/pacs.py`).

Nothing rests on a clock alone. Each poll looks through days that overlap with those of the last success, from the
earliest day of anything unfinished on and without an end; every week, and whenever the clock was set back, through all
days; and what is fetched is what is not held yet, whatever day it bears.
"""

import hashlib
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from olvf_assets.foundation.parallel import reported
from olvf_assets.intake.pacs.answers import (
    ImageStore,
    Instance,
    Odd,
    Report,
    Series,
    instances_of,
    series_of_days,
    series_of_study,
)
from olvf_assets.intake.pacs.errors import PacsError, StoreFailedError, StoreLacksServiceError
from olvf_assets.intake.pacs.orthanc import Feed, ToldSeries
from olvf_assets.intake.pacs.pacs_file import Pacs
from olvf_assets.intake.pacs.received import REFUSED, film_file, landed_from_pacs, lay_down
from olvf_assets.intake.pacs.state import Fate, Known, State, mark
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser

FINAL = ("other_class",)  # reasons that another try cannot change
MOST_TRIES = 5  # then an instance counts as refused, and holds up nothing
FAILURES_IN_A_ROW = 5  # then the store itself fails
DAY_S = 86400.0


@dataclass
class Poll:
    """What one poll did, and what is left.

    Attributes:
        fetched: films that are in the landing folder now and were not before.
        settling: series that are still arriving.
        odd: answers that could not be used, by why.
        gone: instances that were to be fetched and are not in the store any more.
        whole: whether all days were looked through.
        counts: instances by fate, of this poll and all before.
        reasons: failed and refused instances by reason.
    """

    fetched: int = 0
    settling: int = 0
    odd: dict[str, int] = field(default_factory=dict)
    gone: int = 0
    whole: bool = False
    counts: dict[Fate, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)

    def described(self) -> str:
        """Return it in one line."""
        parts = [f"{self.fetched} films fetched", f"{self.counts.get('held', 0)} held in all"]
        parts += [f"{n} {fate}" for fate, n in self.counts.items() if n and fate != "held"]
        parts += [f"{self.settling} series still arriving"] if self.settling else []
        parts += [f"{n} gone from the store" for n in [self.gone] if n]
        parts += [f"{n} x {why}" for why, n in sorted((self.reasons | self.odd).items())]
        return ", ".join(parts)


class _Todo(NamedTuple):
    """A series with the instances that are to be fetched, and since when it has been as it is."""

    series: Series
    key: str
    all_films: tuple[str, ...]
    missing: tuple[Instance, ...]
    since_s: float
    stable: bool


@dataclass
class Poller:
    """One poll of a site.

    Attributes:
        pacs: the site.
        store: its image store.
        feed: its change feed, if it has one.
        state: its account.
        landing: its landing folder.
        names: makes its pseudonyms.
        held_elsewhere: pseudonyms of films that came another way.
        now: gives seconds since 1970.
        pause: waits some seconds.
        report: shows a line of progress.
    """

    pacs: Pacs
    store: ImageStore
    feed: Feed | None
    state: State
    landing: Path
    names: Pseudonymiser
    held_elsewhere: frozenset[str]
    now: Callable[[], float]
    pause: Callable[[float], object]
    report: Report

    def __post_init__(self) -> None:
        """Begin an account of this poll."""
        self._odd = Odd()
        self._known: dict[str, Known] = self.state.instances()
        self._held: set[str] = set()
        self._days: dict[str, date | None] = {}  # of each instance that the store holds
        self._left = self.pacs.what.max_per_poll
        self._failures = 0

    def poll(self, *, whole: bool = False, again: bool = False, wait: bool = True) -> Poll:
        """Fetch what is new and has settled.

        Args:
            whole: look through all days.
            again: fetch also what was fetched before and has been taken away since.
            wait: wait once for series that are still arriving.

        Raises:
            PacsError: the store cannot be asked, or fails; what was fetched stays, and the next poll goes on there.
            DiskFullError, WriteFaultError: the disk.
        """
        found = Poll(whole=whole or again or self._whole_is_due())
        landed = landed_from_pacs(self.landing)
        self._held = set(map(mark, landed | self.held_elsewhere))
        if not again:
            self._held.update(film for film, known in self._known.items() if known.fate == "held")
        self.state.note(last_try=self.now())
        try:
            self._look_and_fetch(found, wait=wait)
        except PacsError as error:
            self.state.note(last_failure=self.now(), last_reason=str(error))
            raise
        finally:
            found.fetched = len(landed_from_pacs(self.landing) - landed)
            found.counts, found.reasons, found.odd = self.state.counts(), self.state.reasons(), self._odd.counts
        return found

    def _look_and_fetch(self, found: Poll, *, wait: bool) -> None:
        told, anew = self._told()
        found.whole = found.whole or anew
        first = self.pacs.what.since if found.whole else self._first_day()
        self.report(f"asks for studies since {first}" + ("" if found.whole else ", the rest is known"))
        todo = list(self._todo(self._series(first, told), told, whole=found.whole))
        ready = [each for each in todo if self._has_settled(each)]
        growing = [each for each in todo if not self._has_settled(each)]
        self._fetch(ready)
        if growing and wait:
            self._wait_for(growing)
            growing = self._fetch_settled(growing)
        found.settling = len(growing)
        found.gone = self.state.forget_unseen(self._days)
        self._close_account(found, told)

    def _told(self) -> tuple[dict[str, ToldSeries], bool]:
        """Return what the change feed told of, by study, and whether it is that of another data base than before."""
        if self.feed is None:
            return {}, False
        anew = self.feed.read(self.state)
        return {each.study_uid: each for each in self.feed.told(self.state, self.pacs.what.modalities)}, anew

    def _series(self, first: date, told: dict[str, ToldSeries]) -> Iterator[Series]:
        """Yield each wanted series once: those of the feed, then those of the days."""
        wanted, today = self.pacs.what, self._today()
        by_feed = itertools.chain.from_iterable(
            series_of_study(self.store, wanted, each.study_uid, each.day, self._odd) for each in told.values()
        )
        seen: set[str] = set()
        for each in itertools.chain(by_feed, series_of_days(self.store, wanted, first, today, self._odd)):
            if each.uid not in seen and not (each.day is not None and each.day < wanted.since):
                seen.add(each.uid)
                yield each

    def _todo(self, series: Iterable[Series], told: dict[str, ToldSeries], *, whole: bool) -> Iterator[_Todo]:
        """Yield the series of which something is missing; a series whose number is as it was is not asked again."""
        settled = {} if whole else self.state.settled()
        for each in series:
            key = self._mark(each.uid)
            if each.n_instances is not None and settled.get(key) == each.n_instances and each.study_uid not in told:
                continue
            stable = each.study_uid in told and told[each.study_uid].stable
            if (found := self._missing(each, stable=stable, refused_too=whole)) is not None:
                yield found

    def _missing(self, series: Series, *, stable: bool, refused_too: bool = False) -> _Todo | None:
        """Return what is missing of a series, None if it is all there, and keep account of it."""
        films = {self._mark(each.uid): each for each in instances_of(self.store, series, self._odd)}
        self._days.update(dict.fromkeys(films, series.day))
        key, contents = self._mark(series.uid), hashlib.sha256(" ".join(sorted(films)).encode()).hexdigest()
        since_s = self.state.settling_since(key, contents, self.now())
        self._note(key, {film: Known("held") for film in films.keys() & self._held})
        self._note(key, {film: Known("waiting") for film in films.keys() - self._held - self._known.keys()})
        missing = [
            each
            for film, each in films.items()
            if film not in self._held and (refused_too or self._known[film].fate != "refused")
        ]
        if not missing:
            self._note_settled(key, films)
            return None
        return _Todo(series, key, tuple(films), tuple(missing), since_s, stable)

    def _note(self, key: str, known: dict[str, Known]) -> None:
        fresh = {film: each for film, each in known.items() if self._known.get(film) != each}
        if fresh:
            self.state.note_instances(key, fresh)
            self._known.update(fresh)

    def _note_settled(self, key: str, films: Collection[str]) -> None:
        if self._held.issuperset(films):
            self.state.settle(key, len(films))

    def _has_settled(self, todo: _Todo) -> bool:
        return todo.stable or self.now() - todo.since_s >= self.pacs.what.settle_s

    def _wait_for(self, growing: list[_Todo]) -> None:
        left_s = max(self.pacs.what.settle_s - (self.now() - each.since_s) for each in growing)
        self.report(f"{len(growing)} series may still be arriving; looks again in {max(left_s, 0):.0f} s")
        self.store.close()  # a store may end a connection on which nothing is said
        self.pause(max(left_s, 0.0) + 0.01)

    def _fetch_settled(self, growing: list[_Todo]) -> list[_Todo]:
        """Fetch of some series those that are as they were, and return the others."""
        again = [found for each in growing if (found := self._missing(each.series, stable=False))]
        settled = [each for each in again if self._has_settled(each)]
        self._fetch(settled)
        return [each for each in again if each not in settled]

    def _fetch(self, todo: list[_Todo]) -> None:
        todo = sorted(todo, key=lambda each: (each.series.day or date.min, each.series.study_uid, each.series.uid))
        jobs = [(each, instance) for each in todo for instance in each.missing][: self._left]
        self._left -= len(jobs)
        for job, instance in reported(jobs, len(jobs), "films", self.report):
            self._fetch_one(job, instance)
        for each in todo:
            self._note_settled(each.key, each.all_films)

    def _fetch_one(self, todo: _Todo, instance: Instance) -> None:
        film, series = self._mark(instance.uid), todo.series
        if film in self._held:  # the same instance in a second series
            return
        try:
            content = self.store.fetch(series.study_uid, series.uid, instance.uid)
            place = film_file(self.landing, self.names, series.study_uid, instance.uid)
            reason = lay_down(content, place, instance.uid, self.pacs.folder / REFUSED)
        except (StoreFailedError, StoreLacksServiceError) as error:
            self._failures += self._known[film].tries == 0
            self._note_failure(film, todo.key, type(error).__name__.removesuffix("Error"))
            if self._failures >= FAILURES_IN_A_ROW:
                raise
            return
        self._failures = 0
        if reason is not None:
            self._note_failure(film, todo.key, reason)
            return
        self._note(todo.key, {film: Known("held")})
        self._held.add(film)

    def _note_failure(self, film: str, key: str, reason: str) -> None:
        tries = self._known[film].tries + 1
        final = tries >= MOST_TRIES or reason in FINAL
        self._note(key, {film: Known("refused" if final else "failed", reason, tries)})

    def _close_account(self, found: Poll, told: dict[str, ToldSeries]) -> None:
        """Note the success, and from which day on something is unfinished, if anything is."""
        unfinished = {film for film in self._days if self._known[film].fate in ("waiting", "failed")}
        earliest = min((self._days[film] or self.pacs.what.since for film in unfinished), default=None)
        days = [self.state.day("newest_day"), *self._days.values()]
        newest = max((day for day in days if day is not None), default=None)
        self.state.note(
            last_success=self.now(),
            last_failure=None,
            last_reason=None,
            unfinished_from=None if earliest is None else earliest.isoformat(),
            newest_day=None if newest is None else newest.isoformat(),
        )
        if found.whole:
            self.state.note(last_whole=self.now())
        if not unfinished:
            self.state.note_feed(remove=[each.orthanc_id for each in told.values() if each.stable])

    def _whole_is_due(self) -> bool:
        last_whole, last_success = self.state.seconds("last_whole"), self.state.seconds("last_success")
        if last_whole is None or last_success is None or self.now() < max(last_success, last_whole):
            return True
        return self.now() - last_whole >= self.pacs.what.whole_every_days * DAY_S

    def _first_day(self) -> date:
        """Return from which day on studies are asked for."""
        success = self.state.seconds("last_success")
        days = [self.state.day("newest_day"), self.state.day("unfinished_from")]
        days += [None if success is None else datetime.fromtimestamp(success, UTC).date()]
        known = [day for day in days if day is not None]
        overlap = timedelta(days=self.pacs.what.overlap_days)
        return max(self.pacs.what.since, min(known) - overlap) if known else self.pacs.what.since

    def _mark(self, uid: str) -> str:
        return mark(self.names.film(uid))

    def _today(self) -> date:
        return datetime.fromtimestamp(self.now(), UTC).date()
