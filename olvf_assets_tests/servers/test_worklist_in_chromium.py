"""The worklist page as a person uses it: in Chromium, from the disk, by mouse and keyboard."""

from pathlib import Path

import polars as pl
import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from olvf_assets.reporting.worklist_page import worklist_page
from olvf_assets_tests.reporting.worklist_films import FILMS, made_up_hospital

COPIES = 250  # of four films
PATIENCE_S = 60


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a page of four films and one of a thousand."""
    root = tmp_path_factory.mktemp("worklists")
    hospital = made_up_hospital(root / "lake")
    copies = pl.DataFrame({"copy": [f"{number:03d}" for number in range(COPIES)]})
    renamed = (pl.col("film_id") + pl.col("copy")).alias("film_id")
    tables = {"worklist": hospital.worklist(), "films": hospital.films, "detected_films": hospital.detected_films}
    many = {name: table.join(copies, how="cross").with_columns(renamed).drop("copy") for name, table in tables.items()}
    choices = {"store": hospital.store, "protocol": "patient", "made_up": True, "external": True}
    for size, shown in (("few", tables), ("many", many)):
        worklist_page(size, **shown, reports=root, **choices)
    return {size: root / "worklists" / size / "index.html" for size in ("few", "many")}


def shown(browser: Chrome) -> list[str]:
    return [each.get_attribute("data-film") for each in browser.find_elements(By.CSS_SELECTOR, "article.film")]


def press(browser: Chrome, *keys: str) -> None:
    ActionChains(browser).send_keys(*keys).perform()


def open_page(browser: Chrome, page: Path) -> None:
    browser.get(page.as_uri())
    WebDriverWait(browser, PATIENCE_S).until(shown)


def test_films_are_ordered_filtered_and_counted_by_mouse_and_by_key(chromium: Chrome, pages: dict[str, Path]) -> None:
    open_page(chromium, pages["few"])
    assert shown(chromium) == ["FD", "FB", "FA", "FC"]  # nothing is known of FD, FB is the most doubtful
    count = chromium.find_element(By.ID, "count")
    assert count.text == "4 of 4 films, 5 vertebrae"
    Select(chromium.find_element(By.ID, "order")).select_by_value("fresh")
    assert shown(chromium) == ["FC", "FA", "FB", "FD"]
    chromium.find_element(By.TAG_NAME, "h1").click()
    press(chromium, "f")
    assert shown(chromium) == ["FC", "FA"]
    assert count.text == "2 of 4 films, 2 vertebrae"
    assert chromium.find_element(By.CSS_SELECTOR, "[data-class=fresh]").get_attribute("aria-pressed") == "true"
    faded = chromium.find_elements(By.CSS_SELECTOR, "article .box.out")
    assert sorted(each.get_attribute("data-level") for each in faded) == ["L1", "L5"]
    press(chromium, "2")
    assert shown(chromium) == ["FA"]
    press(chromium, "c", "n", "5")
    assert shown(chromium) == ["FC"]
    chromium.find_element(By.CSS_SELECTOR, "header [data-level=L5]").click()
    chromium.find_element(By.CSS_SELECTOR, "header [data-level=L4]").click()
    assert shown(chromium) == []
    assert "No film has such a vertebra" in chromium.find_element(By.ID, "empty").text
    chromium.find_element(By.ID, "clear").click()
    press(chromium, "s")
    assert shown(chromium) == ["FA", "FB", "FC", "FD"]


def test_pointing_at_a_vertebra_shows_the_attention_and_its_probabilities(
    chromium: Chrome, pages: dict[str, Path]
) -> None:
    open_page(chromium, pages["few"])
    box = chromium.find_element(By.CSS_SELECTOR, "[data-film=FA] .box[data-level=L2]")
    assert "fresh (normal 22 %, old 17 %, fresh 61 %); 13 of 15 networks" in str(box.get_attribute("title"))
    assert box.find_elements(By.TAG_NAME, "img") == []  # maps are loaded when they are asked for
    ActionChains(chromium).move_to_element(box).perform()
    picture = box.find_element(By.TAG_NAME, "img")
    WebDriverWait(chromium, PATIENCE_S).until(lambda _: int(picture.get_attribute("naturalWidth") or 0) > 0)
    assert picture.is_displayed()
    ActionChains(chromium).move_to_element(chromium.find_element(By.TAG_NAME, "h1")).perform()
    assert not picture.is_displayed()
    press(chromium, "a")
    assert picture.is_displayed()


def test_a_film_is_opened_walked_and_closed_by_key(chromium: Chrome, pages: dict[str, Path]) -> None:
    open_page(chromium, pages["few"])
    press(chromium, "j", "j", "k", "j", Keys.ENTER)
    dialog = chromium.find_element(By.ID, "dialog")
    assert dialog.is_displayed()
    assert dialog.find_element(By.TAG_NAME, "h2").text == "FB"
    cells = [each.text for each in dialog.find_elements(By.TAG_NAME, "td")]
    assert cells == ["L1", "43 %", "31 %", "26 %", "2/15", "old"]
    press(chromium, Keys.ARROW_RIGHT)
    assert dialog.find_element(By.TAG_NAME, "h2").text == "FA"
    press(chromium, Keys.ESCAPE)
    assert not dialog.is_displayed()
    chromium.find_element(By.CSS_SELECTOR, "[data-film=FD]").click()
    assert "levels cannot be told apart" in dialog.text


def test_a_thousand_films_load_only_the_pictures_in_sight(chromium: Chrome, pages: dict[str, Path]) -> None:
    open_page(chromium, pages["many"])
    assert len(shown(chromium)) == len(FILMS) * COPIES
    loaded = (
        "return [...document.querySelectorAll('.film .picture > img')]"
        ".filter(each => each.complete && each.naturalWidth).length"
    )
    WebDriverWait(chromium, PATIENCE_S).until(lambda browser: browser.execute_script(loaded) > 0)
    assert chromium.execute_script(loaded) < len(FILMS) * COPIES / 4
    press(chromium, "f", "s")
    assert chromium.find_element(By.ID, "count").text == f"{2 * COPIES} of {4 * COPIES} films, {2 * COPIES} vertebrae"


def test_nothing_is_asked_of_the_network_and_nothing_goes_wrong(chromium: Chrome, pages: dict[str, Path]) -> None:
    open_page(chromium, pages["few"])
    press(chromium, "a", Keys.ENTER, "s", "1", "c")
    asked = chromium.execute_script("return performance.getEntriesByType('resource').map(each => each.name)")
    assert [each for each in asked if not each.startswith("file:")] == []
    assert [line for line in chromium.get_log("browser") if line["level"] == "SEVERE"] == []
