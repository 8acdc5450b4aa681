"""The firewall: a clean study raises nothing, and every kind of leak, planted alone, is found and named."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from olvf_assets.classification.tables import BALANCED_TRAINING_SET, FOLD_PREDICTIONS
from olvf_assets.detection.tables import DETECTOR_COPIES, DETECTOR_MODEL, LEARNT_FROM
from olvf_assets.evaluation import checks
from olvf_assets.evaluation.firewall import fingerprints
from olvf_assets.evaluation.firewall.fingerprints import near_duplicates, picture_fingerprints
from olvf_assets.evaluation.firewall.leakage import forbidden, leakage_audit, leakage_summary, leaks_of, stamped
from olvf_assets.evaluation.firewall.lineage import sample_lineage
from olvf_assets.evaluation.tables import LEAKAGE_AUDIT, LEAKAGE_SUMMARY, SAMPLE_LINEAGE
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.kept_answers import KeptAnswers

Tables = dict[str, pl.DataFrame]
LEAST_CORRELATION = 0.98
INSTITUTIONS = pl.DataFrame({"institution": ["one", "two"], "role": ["development", "external"]})
# Patient, institution: P0 tests, P1 and P2 train (folds 1 and 2), X is external. Each has one film with two levels.
PATIENTS = {"P0": "one", "P1": "one", "P2": "one", "X": "two"}
FOLD = {"P1": 1, "P2": 2}


def sample(patient: str, level: str = "L1", replica: int = 0, *, owner: str | None = None) -> dict[str, object]:
    """Return the ids of a crop of a patient's film; `owner`: under whose name it goes."""
    name = owner or patient
    return {
        "protocol": "patient",
        "institution": PATIENTS[name],
        "patient_id": name,
        "crop_id": f"F{patient}-{level}",
        "sample_id": f"F{patient}-{level}-r{replica}",
        "level": level,
        "label": "old",
        "replica": replica,
    }


def copy_of(patient: str, subset: str, copy: int = 0, *, owner: str | None = None) -> dict[str, object]:
    name = owner or patient
    return {
        "protocol": "patient",
        "institution": PATIENTS[name],
        "patient_id": name,
        "film_id": f"F{patient}",
        "copy": copy,
        "subset": subset,
    }


def frame(rows: list[dict[str, object]], schema: pl.Schema) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def models(copies: pl.DataFrame) -> pl.DataFrame:
    """Return `detector_model` of detectors that learnt from the copies that train."""
    learnt = copies.filter(subset="train").with_columns(image_path=pl.col("film_id")).select("protocol", *LEARNT_FROM)
    rows = [
        {"protocol": protocol, "learnt_from": own.drop("protocol").to_dicts()}
        for (protocol,), own in learnt.group_by("protocol")
    ]
    return pl.DataFrame(rows, schema={name: DETECTOR_MODEL[name] for name in ("protocol", "learnt_from")})


def training(*rows: tuple[dict[str, object], int]) -> pl.DataFrame:
    return frame([row | {"fold": fold} for row, fold in rows], BALANCED_TRAINING_SET)


def predictions(dataset: str, *rows: tuple[dict[str, object], int]) -> pl.DataFrame:
    return frame([row | {"dataset": dataset, "fold": fold} for row, fold in rows], FOLD_PREDICTIONS)


def scored(dataset: str, *patients: str) -> pl.DataFrame:
    rows = [(sample(patient, level), fold) for patient in patients for level in ("L1", "L2") for fold in (1, 2)]
    return predictions(dataset, *rows)


def film(number: int) -> np.ndarray:
    """Return a film (300, 240) that looks like no other."""
    noise = np.random.default_rng(number).normal(0, 1, (12, 10)).astype(np.float32)
    smooth = cv2.resize(noise, (240, 300), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 45 * smooth, 0, 255).astype(np.uint8)


@pytest.fixture
def clean(tmp_path: Path) -> Tables:
    store = ArtifactStore(tmp_path)
    films, crops = [], []
    for number, (patient, institution) in enumerate(PATIENTS.items()):
        pixels = film(number)
        about = {"institution": institution, "film_id": f"F{patient}", "patient_id": patient}
        films.append(about | {"image_path": store.save_image(pixels)[0]})
        for k, level in enumerate(("L1", "L2")):
            crop = pixels[40 + 130 * k : 140 + 130 * k, 60:200]
            ids = {"protocol": "patient", "crop_id": f"F{patient}-{level}"}
            crops.append(about | ids | {"image_path": store.save_image(crop)[0]})
    trained = [(sample(p, level, r), FOLD[p]) for p in FOLD for level in ("L1", "L2") for r in (0, 1)]
    originals = [(sample(p, level), FOLD[p]) for p in FOLD for level in ("L1", "L2")]
    return {
        "detector_copies": frame(
            [copy_of("P1", "validation"), *(copy_of("P2", "train", n) for n in (0, 1))], DETECTOR_COPIES
        ),
        "balanced_training_set": training(*trained),
        "validation_predictions": predictions("validation", *originals),
        "fold_predictions": pl.concat([scored("test", "P0"), scored("external", "X")]),
        "vertebra_crops": pl.DataFrame(crops),
        "films": pl.DataFrame(films),
        "store": pl.DataFrame({"root": [str(tmp_path)]}),
    }


def audited(tables: Tables, evolved: tuple[str, ...] = ()) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (audit, summary)."""
    store = ArtifactStore(Path(tables["store"].item()))
    tables = {"detector_model": models(tables["detector_copies"])} | tables
    names = ("detector_copies", "detector_model", "balanced_training_set", "validation_predictions", "fold_predictions",
             "vertebra_crops", "films")  # fmt: skip
    lineage = sample_lineage(*(tables[name] for name in names), evolved)
    assert lineage.schema == SAMPLE_LINEAGE
    thumbnails = picture_fingerprints(tables["films"], tables["vertebra_crops"], store)
    audit = leakage_audit(lineage, thumbnails, INSTITUTIONS, LEAST_CORRELATION)
    return audit, leakage_summary(audit, lineage)


def test_a_picture_is_made_small_once(clean: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ArtifactStore(Path(clean["store"].item()))
    films, crops = clean["films"], clean["vertebra_crops"]
    whole = picture_fingerprints(films, crops, store)
    with KeptAnswers(ArtifactStore(tmp_path), "kept") as kept:
        picture_fingerprints(films[1:], crops, store, kept=kept)
    lines: list[str] = []
    with KeptAnswers(ArtifactStore(tmp_path), "kept") as kept:
        assert picture_fingerprints(films, crops, store, kept=kept, report=lines.append).equals(whole)
    assert lines == ["1/1 groups of thumbnails"]
    monkeypatch.setattr(fingerprints, "_thumbnails", None)
    with KeptAnswers(ArtifactStore(tmp_path), "kept") as kept:
        assert picture_fingerprints(films, crops, store, kept=kept).equals(whole)


def add(tables: Tables, name: str, rows: pl.DataFrame) -> Tables:
    return tables | {name: pl.concat([tables[name], rows])}


def picture(tables: Tables, table: str, of: str, pixels: Callable[[np.ndarray], np.ndarray], source: str) -> Tables:
    """Return the tables with another picture for one film or crop: what `pixels` makes of that of `source`."""
    store = ArtifactStore(Path(tables["store"].item()))
    key = "film_id" if table == "films" else "crop_id"
    original = store.load_image(tables[table].filter(pl.col(key) == source)["image_path"][0])
    path = store.save_image(pixels(original))[0]
    swapped = pl.when(pl.col(key) == of).then(pl.lit(path)).otherwise("image_path").alias("image_path")
    return tables | {table: tables[table].with_columns(swapped)}


def recompressed(pixels: np.ndarray) -> np.ndarray:
    """Return the picture in another window, as JPEG, at three quarters of its size."""
    window = np.clip((pixels.astype(float) - 20) * 1.2, 0, 255).astype(np.uint8)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", window, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_GRAYSCALE)
    return cv2.resize(jpeg, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)


def same(pixels: np.ndarray) -> np.ndarray:
    return pixels


# what is planted -> (kind, stage learnt from, stage scored) that must be found
PLANTED: dict[str, tuple[Callable[[Tables], Tables], tuple[str, str, str]]] = {
    "a test sample is trained on": (
        lambda t: add(t, "balanced_training_set", training((sample("P0"), 1))),
        ("same_sample", "classifier_training", "test"),
    ),
    "a replica of a test crop is trained on": (
        lambda t: add(t, "balanced_training_set", training((sample("P0", replica=3), 1))),
        ("same_crop", "classifier_training", "test"),
    ),
    "another vertebra of a test film is trained on": (
        lambda t: add(t | {"fold_predictions": predictions("test", (sample("P0"), 1))}, "balanced_training_set",
                      training((sample("P0", "L2"), 1))),
        ("same_film", "classifier_training", "test"),
    ),
    "another film of a test patient is trained on": (
        lambda t: add(t, "balanced_training_set", training((sample("P1", owner="P0"), 1))),
        ("same_patient", "classifier_training", "test"),
    ),
    "a test crop is trained on under another patient's name": (
        lambda t: picture(t, "vertebra_crops", "FP1-L1", same, "FP0-L1"),
        ("same_pixels", "classifier_training", "test"),
    ),
    "a test film is trained on under another patient's name": (
        lambda t: picture(t, "films", "FP1", same, "FP0"),
        ("same_pixels", "classifier_training", "test"),
    ),
    "a test crop comes again, recompressed, under another name": (
        lambda t: picture(t, "vertebra_crops", "FP2-L2", recompressed, "FP0-L2"),
        ("near_duplicate", "classifier_training", "test"),
    ),
    "a test film comes again, recompressed, under another name": (
        lambda t: picture(t, "films", "FP2", recompressed, "FP0"),
        ("near_duplicate", "detector_training", "test"),
    ),
    "an external film is one of a training patient": (
        lambda t: picture(t, "films", "FX", recompressed, "FP1"),
        ("near_duplicate", "classifier_training", "external"),
    ),
    "the detector learns from a test patient": (
        lambda t: add(t, "detector_copies", frame([copy_of("P1", "train", 1, owner="P0")], DETECTOR_COPIES)),
        ("same_patient", "detector_training", "test"),
    ),
    "the detector learns from an augmented copy of a test film": (
        lambda t: add(t, "detector_copies", frame([copy_of("P0", "train", 2)], DETECTOR_COPIES)),
        ("same_film", "detector_training", "test"),
    ),
    "the detector validates on a copy of a film it learns from": (
        lambda t: add(t, "detector_copies", frame([copy_of("P2", "validation", 5)], DETECTOR_COPIES)),
        ("same_film", "detector_training", "detector_validation"),
    ),
    "the classifiers validate on a replica of what they train on": (
        lambda t: add(t, "balanced_training_set", training((sample("P1", replica=2), 2))),
        ("same_crop", "classifier_training", "classifier_validation"),
    ),
    "a patient trains and validates in one fold": (
        lambda t: add(t, "balanced_training_set", training((sample("P1", "L3"), 2))),
        ("same_patient", "classifier_training", "classifier_validation"),
    ),
    "a temperature is fitted on a test crop": (
        lambda t: add(t, "validation_predictions", predictions("validation", (sample("P0"), 1))),
        ("same_sample", "temperature", "test"),
    ),
    "an operating point is chosen on external crops": (
        lambda t: add(t, "validation_predictions", predictions("validation", (sample("X"), 1))),
        ("same_sample", "operating_point", "external"),
    ),
    "an external patient is trained on": (
        lambda t: add(t, "balanced_training_set", training((sample("X", "L3"), 1))),
        ("external_used", "classifier_training", "external"),
    ),
    "the detector learns from an external film": (
        lambda t: add(t, "detector_copies", frame([copy_of("X", "train")], DETECTOR_COPIES)),
        ("external_used", "detector_training", "external"),
    ),
}  # fmt: skip


def test_a_clean_study_raises_nothing_and_says_what_was_looked_at(clean: Tables) -> None:
    audit, summary = audited(clean)
    assert audit.schema == LEAKAGE_AUDIT
    assert summary.schema == LEAKAGE_SUMMARY
    assert audit.rows() == []
    assert summary["n_samples"].sum() == 0
    ways = summary.select("left_stage", "right_stage").unique()
    assert ways.height == 12
    assert forbidden(summary).is_empty()
    assert leaks_of(summary, "test").is_empty()


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_leak_is_found_named_and_stops_the_metrics(planted: str, clean: Tables) -> None:
    plant, (kind, left_stage, right_stage) = PLANTED[planted]
    audit, summary = audited(plant(clean))
    found = audit.filter(kind=kind, left_stage=left_stage, right_stage=right_stage)
    assert not found.is_empty()
    assert found["n_left"].min() >= 1
    stopping = forbidden(summary)
    assert (kind, left_stage, right_stage) in stopping.select("kind", "left_stage", "right_stage").rows()
    for firewall in checks.FIREWALLS:
        assert firewall.blocking
        assert firewall.find(None, leakage_summary=summary).equals(stopping)


def test_what_the_detector_learnt_from_counts_even_if_its_table_forgot(clean: Tables) -> None:
    learnt = models(pl.concat([clean["detector_copies"], frame([copy_of("P0", "train")], DETECTOR_COPIES)]))
    found, _ = audited(clean | {"detector_model": learnt})
    assert set(found["left_stage"]) == {"detector_training"}
    assert {"same_film", "same_patient"} <= set(found.filter(right_stage="test")["kind"])


def test_a_film_learnt_under_another_patient_s_name_counts_for_the_patient_of_now(
    clean: Tables,
) -> None:
    learnt = models(frame([copy_of("P0", "train", owner="P1"), copy_of("P2", "train")], DETECTOR_COPIES))
    found, _ = audited(clean | {"detector_model": learnt})
    assert "P0" in str(found.filter(kind="same_patient", right_stage="test")["right_sample"].to_list())


def test_evolution_on_a_test_patient_is_found(clean: Tables) -> None:
    tables = add(clean, "detector_copies", frame([copy_of("P0", "validation")], DETECTOR_COPIES))
    audit, _ = audited(tables, evolved=("patient",))
    assert not audit.filter(kind="same_film", left_stage="detector_evolution", right_stage="test").is_empty()
    audit, _ = audited(tables)
    assert audit.filter(right_stage="test").is_empty()  # a picture that is only measured on teaches nothing


def test_the_audit_names_each_scored_sample_once_with_how_many_it_shares_with(clean: Tables) -> None:
    rows = [(sample("P0", "L1", replica), 1) for replica in (1, 2, 3)]
    audit, summary = audited(add(clean, "balanced_training_set", training(*rows)))
    (found,) = audit.filter(kind="same_crop", left_stage="classifier_training", right_stage="test").to_dicts()
    assert (found["left_sample"], found["right_sample"], found["n_left"]) == ("FP0-L1-r1", "FP0-L1-r0", 3)
    (counted,) = summary.filter(kind="same_crop", left_stage="classifier_training", right_stage="test").to_dicts()
    assert (counted["n_samples"], counted["n_right"], counted["share"]) == (1, 2, 0.5)


def test_protocol_thesis_is_stamped_and_not_stopped(clean: Tables) -> None:
    leaking = add(clean, "balanced_training_set", training((sample("P0", replica=1), 1), (sample("P0", "L2", 1), 1)))
    thesis = {name: each.with_columns(protocol=pl.lit("thesis")) if "protocol" in each.columns else each
              for name, each in leaking.items()}  # fmt: skip
    both = {name: pl.concat([clean[name], thesis[name]]) if "protocol" in clean[name].columns else clean[name]
            for name in clean}  # fmt: skip
    _, summary = audited(both)
    assert forbidden(summary).is_empty()
    metrics = pl.DataFrame({"protocol": ["patient", "thesis"], "value": [0.8, 0.9]})
    assert stamped(metrics, summary, "test")["leaks"].to_list() == [
        None,
        "classifier training: same crop of 100%; classifier validation: same crop of 100%",
    ]
    assert stamped(metrics, summary, "external")["leaks"].to_list() == [None, None]


def test_near_duplicates_are_those_of_an_exhaustive_loop() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(4)
    base = rng.integers(0, 256, (30, 576)).astype(np.uint8)
    other = np.where(rng.random((20, 576)) < 0.15, rng.integers(0, 256, (20, 576)), base[:20]).astype(np.uint8)
    found = near_duplicates([row.tobytes() for row in base], [row.tobytes() for row in other], 0.8)
    wanted = [
        (i, j, spearmanr(base[i], other[j]).statistic)
        for i in range(30)
        for j in range(20)
        if spearmanr(base[i], other[j]).statistic >= 0.8
    ]
    assert [each[:2] for each in sorted(found)] == [each[:2] for each in wanted]
    assert [each[2] for each in sorted(found)] == pytest.approx([each[2] for each in wanted], abs=1e-5)
    flat = bytes(576)
    assert near_duplicates([flat], [flat], 0.8) == []
