import numpy as np
import polars as pl
import pytest
from sklearn.metrics import cohen_kappa_score

from olvf_assets.evaluation import human
from olvf_assets.evaluation.intervals import improper_rows, patient_weights
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.tables import HUMAN_CEILING, REVIEW_LIST
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import CLASSES, LEVELS
from olvf_assets_tests.evaluation.samples import ARCHITECTURES, FOLDS, one_hot, prediction_rows

SETTINGS = EvaluationSettings(
    draws=80, confidence=0.9, min_defined_share=0.5, roc_points=50, probability_tolerance=1e-4
)
PATIENTS = 30
PATIENT = np.repeat(np.arange(PATIENTS), 5)
LEVEL = LEVELS * PATIENTS


def changed(labels: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    return np.where(generator.random(labels.size) < share, generator.integers(0, 3, labels.size), labels)


def consensus_rows(labels: np.ndarray, one: np.ndarray, two: np.ndarray) -> pl.DataFrame:
    names = {"label": labels, "reader_1": one, "reader_2": two}
    return pl.DataFrame(
        {
            "institution": ["institution_1"] * labels.size,
            "patient_id": [f"P{each:05d}" for each in PATIENT[: labels.size]],
            "level": LEVEL[: labels.size],
            **{name: [CLASSES[each] for each in values] for name, values in names.items()},
        }
    )


@pytest.fixture(scope="module")
def read() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(3)
    labels = generator.choice(3, size=5 * PATIENTS, p=[0.5, 0.3, 0.2])
    return {
        "labels": labels,
        "one": changed(labels, 0.2, generator),
        "two": changed(labels, 0.3, generator),
        "said": changed(labels, 0.5, generator),
    }


def predictions(read: dict[str, np.ndarray]) -> pl.DataFrame:
    rows = prediction_rows(read["labels"], one_hot(read["said"]), patients=PATIENT)
    return rows.with_columns(level=pl.Series(LEVEL))


def test_kappas_equal_sklearns_and_differences_are_paired(read: dict[str, np.ndarray]) -> None:
    consensus = consensus_rows(read["labels"], read["one"], read["two"])
    table = human.human_ceiling(predictions(read), consensus, SETTINGS, seed=5).filter(fold="mean")
    assert table.schema == HUMAN_CEILING
    assert improper_rows(table, "kappa", -1, 1).is_empty()
    pairs = {
        "reader_1_reader_2": ("one", "two"),
        "model_consensus": ("labels", "said"),
        "model_reader_1": ("one", "said"),
        "model_reader_2": ("two", "said"),
    }
    weights = patient_weights(PATIENTS, 80, derive_seed(5, "patient_bootstrap", "patient", "institution_1"))
    copies = [np.repeat(np.arange(PATIENT.size), draw.astype(int)[PATIENT]) for draw in weights]

    def kappa(comparison: str, weighting: str, at: np.ndarray) -> float:
        left, right = pairs[comparison]
        return cohen_kappa_score(read[left][at], read[right][at], labels=[0, 1, 2], weights=weighting)

    for row in table.iter_rows(named=True):
        ids = row["comparison"], row["weighting"]
        everyone = np.arange(PATIENT.size)
        assert row["kappa"] == pytest.approx(kappa(*ids, everyone), rel=1e-9)
        between = kappa("reader_1_reader_2", row["weighting"], everyone)
        assert row["difference"] == pytest.approx(row["kappa"] - between, abs=1e-12)
        assert (row["n_vertebrae"], row["n_patients"]) == (150, 30)
    row = table.filter(comparison="model_consensus", weighting="linear").row(0, named=True)
    drawn = [kappa("model_consensus", "linear", at) - kappa("reader_1_reader_2", "linear", at) for at in copies]
    np.testing.assert_allclose((row["difference_low"], row["difference_high"]), np.percentile(drawn, [5, 95]))


def test_a_model_that_copies_a_reader_agrees_with_the_other_as_well_as_readers_do(read: dict[str, np.ndarray]) -> None:
    copied = {**read, "said": read["one"]}
    consensus = consensus_rows(read["labels"], read["one"], read["two"])
    table = human.human_ceiling(predictions(copied), consensus, SETTINGS, seed=5).filter(fold="mean")
    row = table.filter(comparison="model_reader_2", weighting="quadratic").row(0, named=True)
    assert (row["difference"], row["difference_low"], row["difference_high"]) == (0, 0, 0)
    assert table.filter(comparison="model_reader_1")["kappa"].to_list() == [1, 1]
    assert set(table.filter(comparison="model_reader_1")["band"]) == {"almost_perfect"}


def test_films_of_a_vertebra_count_as_one_and_unread_vertebrae_as_none(read: dict[str, np.ndarray]) -> None:
    """A second film of every vertebra, sure of another class but less so, changes nothing."""
    rows = predictions(read)
    weaker = 0.4 * one_hot((read["said"] + 1) % 3) + 0.2
    films = rows.with_columns(
        sample_id="B" + pl.col("sample_id"),
        crop_id="B" + pl.col("crop_id"),
        **{f"p_{name}": pl.Series(weaker[:, c]) for c, name in enumerate(CLASSES)},
    )
    consensus = consensus_rows(read["labels"], read["one"], read["two"])
    wanted = human.human_ceiling(rows, consensus, SETTINGS, seed=5)
    assert human.human_ceiling(pl.concat([rows, films]), consensus, SETTINGS, seed=5).equals(wanted)
    half = consensus.with_columns(reader_2=pl.when(pl.col("level") < "L3").then("reader_2"))
    found = human.human_ceiling(rows, half, SETTINGS, seed=5)
    assert found["n_vertebrae"].unique().to_list() == [60]


def test_a_hospital_without_readers_gives_nan_with_the_reason(read: dict[str, np.ndarray]) -> None:
    consensus = consensus_rows(read["labels"], read["one"], read["two"]).clear()
    table = human.human_ceiling(predictions(read), consensus, SETTINGS, seed=5)
    assert table["kappa"].is_nan().all()
    assert set(table["reason"]) == {"no vertebra with a prediction and both readers' labels"}
    assert improper_rows(table, "kappa", -1, 1).is_empty()


def test_the_review_list_holds_what_readers_agree_on_and_no_network_does() -> None:
    """Four crops, all read as normal; reader 2 differs on the second; one network is right on the third."""
    labels = np.zeros(4, dtype=int)
    wrong = np.array([2, 2, 2, 0])
    patients = np.arange(4)
    networks = []
    for architecture in ARCHITECTURES:
        for fold in FOLDS:
            said = wrong.copy()
            if (architecture, fold) == ("resnet50", 2):
                said[2] = 0
            if (architecture, fold) == ("resnet50", 3):
                said[0] = 1
            rows = prediction_rows(labels, 0.7 * one_hot(said) + 0.1, model=architecture, fold=str(fold))
            networks.append(rows)
    fold_predictions = pl.concat(networks).rename({"model": "architecture"}).with_columns(pl.col("fold").cast(pl.Int64))
    overall = prediction_rows(labels, 0.7 * one_hot(wrong) + 0.1, model="ensemble_of_15", fold="mean")
    ensemble = overall.with_columns(predicted=pl.Series([CLASSES[each] for each in wrong]))
    consensus = ensemble.select(
        "institution",
        "patient_id",
        "level",
        reader_1=pl.lit("normal"),
        reader_2=pl.Series(["normal", "old", "normal", "normal"]),
    )
    crops = ensemble.select(
        "protocol", "institution", "crop_id", film_id="crop_id", view=pl.lit("neutral"), image_path="crop_id"
    )
    table = human.review_list(ensemble, fold_predictions, consensus, crops)
    assert table.schema == REVIEW_LIST
    (row,) = table.iter_rows(named=True)
    assert (row["patient_id"], row["readers_label"], row["predicted"]) == (f"P{patients[0]:05d}", "normal", "fresh")
    assert (row["n_networks"], row["n_networks_of_predicted"]) == (15, 14)
    assert (row["p_readers_label"], row["p_predicted"]) == pytest.approx((0.1, 0.8))
