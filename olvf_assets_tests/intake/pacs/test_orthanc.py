"""The change feed of an Orthanc: nothing that it told of once is forgotten before it is fetched."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from olvf_assets.intake.pacs.errors import StoreFailedError, StoreLacksServiceError, StoreUnreachableError
from olvf_assets.intake.pacs.site import site_status, site_told
from olvf_assets.intake.pacs.site import test_site as tried_out
from olvf_assets_tests.intake.pacs.peers import SITE, free_port, poll, study_film, write_site
from olvf_assets_tests.intake.pacs.web_peer import Answer, WebPeer


def orthanc_id(kind: str, number: int) -> str:
    return "-".join([f"{ord(kind[0]):04x}{number:04x}"] * 5)


class Orthanc(WebPeer):
    """A store whose change feed tells what happened to it."""

    def add(self, film: Dataset, number: int, *, stable: bool = True, events: tuple[str, ...] = ("NewSeries",)) -> None:
        self.films.append(film)
        series, study = orthanc_id("series", number), orthanc_id("study", number)
        known = self.resources.get(f"/series/{series}", {"Instances": []})
        self.resources[f"/series/{series}"] = {
            "IsStable": stable,
            "LastUpdate": "20260320T120000",
            "Instances": [*known["Instances"], str(len(self.films))],
            "MainDicomTags": {"Modality": film.Modality},
            "ParentStudy": study,
        }
        tags = {"StudyInstanceUID": film.StudyInstanceUID, "StudyDate": film.StudyDate}
        self.resources[f"/studies/{study}"] = {"MainDicomTags": tags}
        self.resources[f"/instances/{orthanc_id('instance', len(self.films))}"] = {"ParentSeries": series}
        for event in events:
            about = orthanc_id("instance", len(self.films)) if event == "NewInstance" else series
            self.changes.append({"Seq": len(self.changes) + 1, "ChangeType": event, "ID": about})


def connected(data: Path, peer: WebPeer, **what: Any) -> None:
    write_site(data, dicomweb=peer.settings(), orthanc={"url": peer.url}, what=what)


def test_what_is_stable_is_due_and_is_fetched_whatever_its_day_without_settling(tmp_path: Path) -> None:
    with Orthanc() as peer:
        connected(tmp_path, peer, settle_s=600.0)
        assert site_told(tmp_path, SITE) == (0, None)
        poll(tmp_path)
        peer.add(study_film("sent late", day="20260302"), 1)
        told = site_told(tmp_path, SITE)
        assert told is not None
        assert (told.waiting, told.run_key is None) == (1, False)
        assert site_told(tmp_path, SITE) == told
        assert "told of by the change feed and not fetched yet: 1 series" in site_status(tmp_path, SITE)
        assert poll(tmp_path, wait=False).fetched == 1
        assert site_told(tmp_path, SITE) == (0, None)


def test_a_series_that_is_not_stable_waits_and_one_that_never_said_that_it_is_does_not_wait_for_ever(
    tmp_path: Path,
) -> None:
    with Orthanc() as peer:
        connected(tmp_path, peer, settle_s=600.0)
        poll(tmp_path)
        peer.add(study_film("one"), 1, stable=False, events=("NewInstance", "NewSeries"))
        assert site_told(tmp_path, SITE) == (1, None)
        assert poll(tmp_path, wait=False).fetched == 0
        peer.resources[f"/series/{orthanc_id('series', 1)}"]["IsStable"] = True  # killed: no StableSeries ever comes
        told = site_told(tmp_path, SITE)
        assert told is not None
        assert told.run_key is not None
        assert poll(tmp_path, wait=False).fetched == 1


def test_a_late_instance_makes_its_series_due_again_under_another_key(tmp_path: Path) -> None:
    with Orthanc() as peer:
        connected(tmp_path, peer)
        peer.add(study_film("one"), 1)
        first = site_told(tmp_path, SITE)
        assert poll(tmp_path).fetched == 1
        peer.add(study_film("late"), 1, events=("NewInstance",))
        second = site_told(tmp_path, SITE)
        assert first is not None
        assert second is not None
        assert None not in (first.run_key, second.run_key)
        assert first.run_key != second.run_key
        assert poll(tmp_path).fetched == 1


def test_other_modalities_and_what_was_deleted_are_forgotten(tmp_path: Path) -> None:
    with Orthanc() as peer:
        connected(tmp_path, peer)
        peer.add(study_film("ct", Modality="CT"), 1)
        peer.add(study_film("gone", study=2), 2)
        del peer.resources[f"/series/{orthanc_id('series', 2)}"]
        assert site_told(tmp_path, SITE) == (0, None)


def test_the_feed_of_another_data_base_is_read_from_its_beginning_and_all_days_are_looked_through(
    tmp_path: Path,
) -> None:
    with Orthanc() as peer:
        connected(tmp_path, peer)
        for number in range(1, 6):
            peer.add(study_film(f"film {number}", study=number), number)
        assert poll(tmp_path).fetched == 5
        peer.films, peer.changes = [], []
        peer.add(study_film("new", study=9, day="20260302"), 9)
        found = poll(tmp_path)
        assert (found.fetched, found.whole) == (1, True)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((200, {}, b"<html>"), StoreFailedError),
        ((200, {}, b"[]"), StoreFailedError),
        ((200, {}, b'{"Changes": 5, "Last": 1}'), StoreFailedError),
        ((200, {}, b'{"Changes": [], "Last": "x"}'), StoreFailedError),
        ((404, {}, b""), StoreLacksServiceError),
    ],
)
def test_what_is_no_change_feed_is_told(tmp_path: Path, answer: Answer, error: type[Exception]) -> None:
    with WebPeer(change=lambda path, true: answer if path.startswith("/changes") else true) as peer:
        connected(tmp_path, peer)
        for ask in (site_told, lambda data, _: poll(data)):
            with pytest.raises(error, match=r"change feed|\[orthanc\]"):
                ask(tmp_path, SITE)


def test_a_feed_that_never_ends_or_names_no_series_is_left(tmp_path: Path) -> None:
    odd = [{"Seq": 1, "ChangeType": "NewSeries", "ID": "../../etc/passwd"}, "text", {"Seq": 2}, None]

    def endless(path: str, answer: Answer) -> Answer:
        said = {"Changes": odd, "Last": len(peer.asked), "Done": False}
        return (200, {}, json.dumps(said).encode()) if path.startswith("/changes") else answer

    with WebPeer(change=endless) as peer:
        connected(tmp_path, peer)
        assert site_told(tmp_path, SITE) == (0, None)
        assert not any("passwd" in path for path, _ in peer.asked)
        assert poll(tmp_path).fetched == 0


def test_a_feed_that_cannot_be_reached_loses_nothing(tmp_path: Path) -> None:
    port = free_port()
    with Orthanc(port=port) as peer:
        connected(tmp_path, peer)
        peer.add(study_film("one"), 1)
        assert tried_out(tmp_path, SITE)[-1].endswith("can be read")
        site_told(tmp_path, SITE)
        kept = peer
    with pytest.raises(StoreUnreachableError):
        site_told(tmp_path, SITE)
    with Orthanc(port=port, films=kept.films, changes=kept.changes, resources=kept.resources):
        assert poll(tmp_path).fetched == 1
