"""How far a site is from development: against hand-made figures, statsmodels, and sites made alike or not."""

import numpy as np
import polars as pl
import pytest
from statsmodels.stats.multitest import multipletests

from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.site_features import FEATURES, site_features
from olvf_assets.evaluation.site_shift import far_films, site_shift, stability_index
from olvf_assets.evaluation.tables import FAR_FILMS, SITE_SHIFT

SETTINGS = EvaluationSettings(
    draws=400, confidence=0.95, min_defined_share=0.5, roc_points=50, probability_tolerance=1e-4
)
ROLES = {"ours": "development", "theirs": "external", "others": "external"}


def numbers(institution: str, values: np.ndarray, feature: str = "kvp", per_patient: int = 1) -> pl.DataFrame:
    rows = {
        "institution": institution,
        "patient_id": [f"P{number // per_patient}" for number in range(len(values))],
        "protocol": None,
        "feature": feature,
        "unit": "film",
        "value": values,
        "category": None,
    }
    return pl.DataFrame(rows, schema=FEATURES)


def words(institution: str, values: list[str], feature: str = "detector") -> pl.DataFrame:
    rows = {"institution": institution, "patient_id": [f"P{number}" for number in range(len(values))]}
    about = {"protocol": "patient", "feature": feature, "unit": "film", "value": None, "category": values}
    return pl.DataFrame(rows | about, schema=FEATURES)


def shift_of(*features: pl.DataFrame) -> dict[str, dict]:
    table = site_shift(pl.concat(features), ROLES, SETTINGS, 7)
    assert table.schema == SITE_SHIFT
    return {f"{row['institution']} {row['feature']}": row for row in table.iter_rows(named=True)}


def test_the_index_is_that_of_the_formula() -> None:
    p, q = np.array([3.5, 7.5]) / 11, np.array([5.5, 5.5]) / 11
    assert stability_index(np.array([3, 7]), np.array([5, 5])) == pytest.approx(sum((p - q) * np.log(p / q)))
    assert stability_index(np.array([5, 5]), np.array([5, 5])) == 0


def test_alike_and_shifted_sites_are_told_apart_by_numbers_and_words() -> None:
    random = np.random.default_rng(3)
    rows = shift_of(
        numbers("ours", random.normal(80, 5, 200)),
        numbers("theirs", random.normal(80, 5, 100)),
        numbers("others", random.normal(92, 5, 100)),
        words("ours", ["A", "A", "B"] * 60),
        words("theirs", ["A", "B", "A"] * 30),
        words("others", ["C"] * 90),
    )
    assert [rows[f"theirs {name}"]["verdict"] for name in ("kvp", "detector")] == ["alike", "alike"]
    assert [rows[f"others {name}"]["verdict"] for name in ("kvp", "detector")] == ["far", "far"]
    far, near = rows["others kvp"], rows["theirs kvp"]
    assert far["ci_low"] < far["psi"] < far["ci_high"]
    assert near["psi"] < near["psi_by_chance"] < far["psi"]
    assert far["p_value"] == 1 / 401
    assert 0.6 < far["distance"] < 0.9
    assert rows["others detector"]["distance"] == 1
    assert "detector: C 100% here, 0% at development hospitals (PSI" in rows["others detector"]["sentence"]
    assert rows["others detector"]["protocol"] == "patient"
    assert (far["n_site"], far["n_development"], far["n_patients"], far["protocol"]) == (100, 200, 100, None)


@pytest.mark.parametrize("there", [60.0, 90.0])
def test_values_that_development_never_had_are_a_shift_though_it_had_one_value_only(there: float) -> None:
    rows = shift_of(numbers("ours", np.full(50, 80.0)), numbers("theirs", np.full(50, there)))
    assert (rows["theirs kvp"]["verdict"], rows["theirs kvp"]["distance"]) == ("far", 1)
    same = shift_of(numbers("ours", np.full(50, 80.0)), numbers("theirs", np.full(50, 80.0)))
    assert (same["theirs kvp"]["verdict"], same["theirs kvp"]["psi"]) == ("alike", 0)


def test_many_films_of_few_patients_are_no_proof() -> None:
    random = np.random.default_rng(5)
    ours = random.normal(80, 5, 40).repeat(20)
    theirs = random.normal(80, 5, 4).repeat(50)
    (row,) = shift_of(numbers("ours", ours, per_patient=20), numbers("theirs", theirs, per_patient=50)).values()
    assert row["psi"] > 0.25  # four patients fill four of ten bins
    assert (row["verdict"], row["n_patients"], row["n_site"]) == ("alike", 4, 200)
    assert row["p_value"] > 0.05


def test_p_values_are_adjusted_as_statsmodels_does() -> None:
    random = np.random.default_rng(9)
    features = [numbers(site, random.normal(80 + (site == "theirs") * each, 5, 60), f"f{each}")
                for each in range(5) for site in ("ours", "theirs")]  # fmt: skip
    rows = list(shift_of(*features).values())
    expected = multipletests([row["p_value"] for row in rows], method="holm")[1]
    assert [row["p_holm"] for row in rows] == pytest.approx(expected.tolist())


def test_one_patient_has_no_interval_and_what_one_side_lacks_is_left_out() -> None:
    rows = shift_of(
        numbers("ours", np.arange(10.0)), numbers("theirs", np.array([3.0])), words("ours", ["normal"] * 9, "label")
    )
    assert list(rows) == ["theirs kvp"]
    assert (rows["theirs kvp"]["ci_low"], rows["theirs kvp"]["ci_high"]) == (None, None)
    assert site_shift(FEATURES.to_frame(), ROLES, SETTINGS, 7).schema == SITE_SHIFT


def test_the_same_seed_gives_the_same_table_and_the_order_of_rows_has_no_say() -> None:
    random = np.random.default_rng(1)
    features = pl.concat([numbers(site, random.normal(80, 5, 40)) for site in ROLES])
    table = site_shift(features, ROLES, SETTINGS, 7)
    assert site_shift(features.reverse(), ROLES, SETTINGS, 7).equals(table)
    assert not site_shift(features, ROLES, SETTINGS, 8).equals(table)


def thumbnail(pixels: np.ndarray) -> bytes:
    return pixels.astype(np.uint8).tobytes()


def test_features_come_from_films_subjects_and_networks() -> None:
    where, by_protocol = {"institution": "ours"}, {"protocol": "patient", "institution": "ours"}
    film = where | {"film_id": "F", "patient_id": "P", "image_path": "images/a.png"}
    size = {"width_px": 100, "height_px": 200, "pixel_mm": 0.5, "kvp": None}
    grey = np.tile(np.arange(24), (24, 1))
    scored = by_protocol | {"patient_id": "P", "model": "ensemble_of_15"}

    def table(*rows: dict) -> pl.DataFrame:
        unknown = {"kvp": pl.Float64, "sex": pl.String, "margin": pl.Float64}
        return pl.DataFrame(rows, schema_overrides={name: dtype for name, dtype in unknown.items() if name in rows[0]})

    found = site_features(
        table(film | size | {"detector": "A", "view": "neutral"}),
        table(where | {"patient_id": "P", "age_years": 81, "sex": None}),
        table(where | {"image_path": "images/a.png", "thumbnail": thumbnail(grey)}),
        table(by_protocol | {"film_id": "F", "state": "resolved", "margin": None}),
        table(by_protocol | {"film_id": "F", "level": "L3", "confidence": 0.9}),
        table(
            scored | {"replica": 1, "dataset": "test", "p_fresh": 0.1, "predicted": "old", "label": "old"},
            scored | {"replica": 0, "dataset": "test", "p_fresh": 0.7, "predicted": "fresh", "label": None},
            scored | {"replica": 0, "dataset": "unlabelled", "p_fresh": 0.2, "predicted": "old", "label": None},
        ),
    )
    assert found.schema == FEATURES
    known = {
        row["feature"]: row["value"] if row["category"] is None else row["category"]
        for row in found.iter_rows(named=True)
    }
    assert known == {
        "mean_grey": 11.5, "grey_spread": pytest.approx(grey.std()), "pixel_mm": 0.5, "field_width_mm": 50.0,
        "field_height_mm": 100.0, "detector": "A", "view": "neutral", "age_years": 81.0, "levels_found": "resolved",
        "detector_confidence": 0.9, "level": "L3", "p_fresh": 0.7, "predicted": "fresh",
    }  # fmt: skip
    assert found.height == len(known)


def test_films_like_no_development_film_are_listed_with_the_one_nearest_to_them() -> None:
    random = np.random.default_rng(2)
    ramp = np.add.outer(np.arange(24), np.arange(24)).astype(float)
    pictures = {f"ours{number}": ramp + random.normal(0, 1, (24, 24)) for number in range(20)}
    pictures |= {
        "theirs0": ramp * 3 + 20,
        "theirs1": ramp[:, ::-1] + random.normal(0, 1, (24, 24)),
        "others0": ramp[::-1],
    }
    films = pl.DataFrame(
        {
            "institution": [name.rstrip("0123456789") for name in pictures],
            "film_id": list(pictures),
            "patient_id": [f"P{name}" for name in pictures],
            "view": "neutral",
            "image_path": [f"images/{name}.png" for name in pictures],
        }
    )
    thumbnails = films.select("institution", "image_path").with_columns(
        thumbnail=pl.Series([thumbnail(each - each.min()) for each in pictures.values()])
    )
    found = far_films(films, thumbnails, ROLES)
    assert found.schema == FAR_FILMS
    assert found["film_id"].to_list() == ["others0", "theirs1"]
    assert found["nearest_image_path"].str.starts_with("images/ours").all()
    assert (found["correlation"] < found["correlation_limit"]).all()
    assert found["correlation_limit"][0] > 0.95
    one = films.with_columns(patient_id=pl.lit("P"))
    assert far_films(one, thumbnails, ROLES).is_empty()  # development films of one patient say nothing
    assert far_films(films.filter(pl.col("institution") == "ours"), thumbnails, ROLES).is_empty()
