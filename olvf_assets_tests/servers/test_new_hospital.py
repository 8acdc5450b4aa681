"""A third hospital, connected once: two deliveries through its image store, results back after each, labels later.

UI and daemon are at work and somebody holds an SQL session open all along. The steps build on each other, in order.
"""

import shutil
from collections.abc import Callable, Iterator

import pytest

from olvf_assets_tests.servers.new_hospital import OF_PIXELS, SITE, OpenStudy, SqlSession, results_in
from olvf_assets_tests.servers.orthanc import RunningOrthanc

FILMS = 40
FIRST, SECOND = slice(0, FILMS // 2), slice(FILMS // 2, FILMS)


class Delivered:
    """The study, the store, the session, and what was seen on the way."""

    def __init__(self, study: OpenStudy, store: RunningOrthanc) -> None:
        self.study, self.store = study, store
        self.session = SqlSession(study)
        self.rows_at_first = self.session.counts("worklist")
        self.seconds: dict[str, float] = {}

    def films_listed(self) -> int:
        """Return how many of the hospital's films the warehouse has in any state."""
        ((n,),) = self.study.asked("select count(distinct film_id) from detected_films where institution = $site")
        return int(n)

    def deliver(self, which: slice) -> None:
        """Let films arrive in the image store, and wait for their rows in the warehouse."""
        self.store.upload(*self.study.films[which])
        self.seconds[f"{which.start} to {which.stop}"] = self.study.until(
            f"films {which.start} to {which.stop} are in the warehouse", lambda: self.films_listed() >= which.stop
        )

    def results_arrive(self, films: int) -> None:
        self.study.until("the results are back", lambda: len(results_in(self.store)["SR"]) >= films)


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Delivered]:
    folder = tmp_path_factory.mktemp("new_hospital")
    study = OpenStudy(folder, "ci", FILMS)
    study.run("dagster", "asset", "materialize", "--select", "*")
    store = RunningOrthanc(folder / "orthanc")
    study.connect(store)
    with study.ui():
        found = Delivered(study, store)
        yield found
        found.session.close()
    store.kill()
    shutil.rmtree(folder)


def test_the_connection_works(delivered: Delivered) -> None:
    said = delivered.study.run("olvf_assets", "pacs", SITE, "test")
    assert "C-GET is offered" in said
    assert "can be read" in said  # the change feed


def test_the_first_delivery_is_scored_listed_and_answered(delivered: Delivered) -> None:
    delivered.deliver(FIRST)
    delivered.results_arrive(FIRST.stop)
    holds_what_came(delivered, FIRST.stop)
    assert delivered.study.asked("select count(*) from external_metrics where institution = $site") == [(0,)]


def test_so_is_the_second_and_the_first_is_left_as_it_was(delivered: Delivered) -> None:
    before = delivered.study.table("crop_scores")
    sent = {each["SOPInstanceUID"] for each in results_in(delivered.store)["SR"]}
    delivered.deliver(SECOND)
    delivered.results_arrive(FILMS)
    holds_what_came(delivered, FILMS)
    assert delivered.study.table("crop_scores").join(before, on=before.columns, how="semi").height == before.height
    assert {each["SOPInstanceUID"] for each in results_in(delivered.store)["SR"]} > sent


def holds_what_came(delivered: Delivered, films: int) -> None:
    """No film is missing or double, in the landing folder, the tables, the worklist and the image store."""
    study = delivered.study
    came = {str(film.SOPInstanceUID) for film in study.films[:films]}
    assert study.films_held() == dict.fromkeys(came, 1)
    states = study.table("detected_films")
    assert states["film_id"].n_unique() == states.height == films
    assert study.table("quarantine").is_empty()
    resolved = set(states.filter(state="resolved")["film_id"])
    worklist = study.table("worklist")
    assert set(worklist["film_id"]) == resolved
    assert worklist.select("film_id", "level").is_unique().all()
    page = (study.data / "reports" / "worklists" / SITE / "index.html").read_text()
    assert all(film in page for film in states["film_id"])
    results = results_in(delivered.store)
    assert len(results["SR"]) == films
    assert {each["StudyInstanceUID"] for each in results["SR"]} == {
        str(film.StudyInstanceUID) for film in study.films[:films]
    }
    assert len(results["OT"]) == len({each["StudyInstanceUID"] for each in results["OT"]}) == len(resolved)


def test_labels_that_come_later_give_the_hospital_its_row_and_nothing_is_scored_or_sent_again(
    delivered: Delivered,
) -> None:
    study = delivered.study
    before, sent = study.table("crop_scores"), results_in(delivered.store)
    study.hand_over_sheets()
    delivered.seconds["labels"] = study.until(
        "external_metrics has rows of the hospital",
        lambda: study.asked("select count(*) from external_metrics where institution = $site") != [(0,)],
    )
    assert study.table("crop_scores").equals(before)
    accuracy = study.asked(
        "select value, n_patients from external_metrics where institution = $site and model = 'ensemble' and fold = "
        "'mean' and positive_class = 'all' and metric = 'accuracy' and ci_method = 'patient_bootstrap'"
    )
    assert 0.4 < accuracy[0][0] <= 1
    assert {key: len(each) for key, each in results_in(delivered.store).items()} == {
        key: len(each) for key, each in sent.items()
    }


def test_the_session_opened_before_still_answers_and_a_new_one_sees_what_came(delivered: Delivered) -> None:
    assert delivered.session.counts("worklist") == delivered.rows_at_first
    fresh = SqlSession(delivered.study)
    assert fresh.counts("worklist") == delivered.rows_at_first + delivered.study.table("worklist").height
    fresh.close()


def test_nobody_is_named_in_what_dagster_keeps(delivered: Delivered) -> None:
    names = {str(film.PatientID).encode() for film in delivered.study.films}
    for path in delivered.study.home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [name for name in names if name in content], path.name


def test_how_long_it_took_is_printed(delivered: Delivered, record_property: Callable[[str, object], None]) -> None:
    """Figures of this machine and this load, in the summary; nothing hangs on them."""
    for what, seconds in delivered.seconds.items():
        record_property("measured", f"{what}: {seconds:.0f} s from arrival to row")
    arrivals = delivered.study.arrivals()
    for each in reversed(arrivals):
        of_pixels = sum(seconds for table, seconds in each.items() if table in OF_PIXELS)
        share = f"{of_pixels:.0f} s ({of_pixels / each['all']:.0%}) on pixels"
        record_property("measured", f"run of {each['all']:.0f} s, {share}")
    assert len(arrivals) == 3  # two deliveries and the labels: none tried in vain, none twice
