"""What of predictions counts in figures, by hand and against the figures themselves."""

import polars as pl

from olvf_assets.evaluation.labelled import labelled, labelled_external, labelled_test

PREDICTIONS = pl.DataFrame(
    [
        ("patient", "test", "a", "f1-L1", "p1", "fresh"),
        ("patient", "external", "b", "f2-L1", "p2", "old"),
        ("patient", "external", "b", "f2-L2", "p2", None),
        ("patient", "external", "c", "f3-L1", "p3", None),
        ("patient", "unlabelled", "a", "f4-L1", "p4", None),
    ],
    schema=["protocol", "dataset", "institution", "crop_id", "patient_id", "label"],
    orient="row",
)
CROPS = PREDICTIONS.select("protocol", "institution", "crop_id", "patient_id").with_columns(
    film_id=pl.col("crop_id").str.split("-").list.first()
)
FILMS = CROPS.select("institution", "film_id").unique(maintain_order=True)
SUBJECTS = CROPS.select("institution", "patient_id").unique(maintain_order=True)


def test_rows_with_a_label_are_taken_with_what_they_are_of() -> None:
    tables = {"vertebra_crops": CROPS, "films": FILMS, "subjects": SUBJECTS, "leakage_summary": FILMS}
    taken = labelled(ensemble_predictions=PREDICTIONS, fold_predictions=PREDICTIONS, **tables)
    assert taken["ensemble_predictions"]["crop_id"].to_list() == ["f1-L1", "f2-L1"]
    assert taken["fold_predictions"].equals(taken["ensemble_predictions"])
    assert taken["vertebra_crops"]["crop_id"].to_list() == ["f1-L1", "f2-L1"]
    assert taken["films"]["film_id"].to_list() == ["f1", "f2"]
    assert taken["subjects"]["patient_id"].to_list() == ["p1", "p2"]
    assert taken["leakage_summary"].equals(FILMS)


def test_test_and_external_films_are_taken_apart() -> None:
    assert labelled_test(ensemble_predictions=PREDICTIONS)["ensemble_predictions"]["institution"].to_list() == ["a"]
    external = labelled_external(ensemble_predictions=PREDICTIONS, fold_predictions=PREDICTIONS)
    assert [frame["institution"].to_list() for frame in external.values()] == [["b"], ["b"]]
