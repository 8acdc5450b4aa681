"""The detector that ships, and a study that takes it as it is."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

from olvf_assets.cohort.assets import patient_splits
from olvf_assets.cohort.checks import every_development_patient_has_one_side
from olvf_assets.cohort.patient_split import PatientSplitError
from olvf_assets.detection.assets import detector_copies, detector_evolution, detector_model, start_weights
from olvf_assets.detection.phantom_films import all_train, phantom_films
from olvf_assets.detection.prediction import detection_candidates
from olvf_assets.detection.provenance import StaleDetectorError, refuse_stale_detector, verified_weights
from olvf_assets.detection.resolution import detected_films
from olvf_assets.detection.settings import DetectionSettings
from olvf_assets.detection.shipped import shipped_fingerprint, shipped_model, write_shipped
from olvf_assets.detection.tables import DETECTOR_COPIES, DETECTOR_MODEL
from olvf_assets.foundation.tables import TableRun
from olvf_assets.phantom.settings import PhantomSettings, SyntheticInstitution
from olvf_assets.profiles import load_profile
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.shipped import FOLDER, ShippedWeightsError, shipped_record, weights_file

PRETRAINED = load_profile("pretrained")
NOBODY = pl.DataFrame(schema={"institution": pl.String, "patient_id": pl.String, "role": pl.String, "label": pl.String})
COHORT = pl.DataFrame(
    [("institution_9", f"P{number}", "development", label) for number, label in enumerate(["fresh", "old", "normal"])],
    schema=NOBODY.schema, orient="row",
)  # fmt: skip


def run_of(root: Path, profile_name: str = "pretrained") -> TableRun:
    return TableRun(load_profile(profile_name), ArtifactStore(root / "lake"), root)


def test_the_file_that_ships_is_the_one_of_its_record_and_small() -> None:
    record = shipped_record("detector")
    assert weights_file("detector").stat().st_size < 12e6
    assert (record["profile"], record["seed"]) == ("weights", load_profile("weights").seed)
    assert (record["model"], record["image_px"], record["helpers"]) == ("yolov5n", 384, ["T12", "T11", "S1"])
    assert record["command"] == "python -m olvf_assets.commands.make_weights detector"
    assert len(record["losses"]) == record["epochs"] == load_profile("weights").detection.epochs
    assert record["losses"][-1] < record["losses"][0]


def test_it_finds_and_names_the_bodies_of_phantoms_that_it_has_not_seen(tmp_path: Path) -> None:
    site = SyntheticInstitution(patients_normal=3, patients_fresh=0, patients_old=0, excluded_fresh={}, excluded_old={},
                                look="wide", variant_share=0.0, pixel_mm=0.3)  # fmt: skip
    store = ArtifactStore(tmp_path / "lake")
    films, boxes, _ = phantom_films(store, "unseen", PhantomSettings(institutions={"unseen": site}), 71)
    model = shipped_model(store, ("patient",))
    candidates = detection_candidates(films, model, store, DetectionSettings())
    found = candidates.join(boxes, on="film_id", suffix="_drawn").with_columns(overlap=_overlap())
    best = found.group_by("film_id", "level").agg(pl.col("overlap").max())
    assert len(best) == 15
    assert (best["overlap"] > 0.5).sum() >= 13
    told = detected_films(candidates, films, model, PRETRAINED.detection)
    names = (
        told.filter(state="resolved").explode("labelling").unnest("labelling").select("film_id", "candidate", "level")
    )
    named = names.join(found, on=["film_id", "candidate", "level"])
    assert len(names) >= 5
    assert (named["overlap"] > 0.3).all()


def _overlap() -> pl.Expr:
    """Return the intersection over union of a candidate's box and a drawn one."""
    sides = [
        pl.min_horizontal(f"{axis}1_px", f"{axis}1_px_drawn") - pl.max_horizontal(f"{axis}0_px", f"{axis}0_px_drawn")
        for axis in "xy"
    ]
    shared = sides[0].clip(0) * sides[1].clip(0)
    areas = [(pl.col(f"x1_px{of}") - pl.col(f"x0_px{of}")) * (pl.col(f"y1_px{of}") - pl.col(f"y0_px{of}"))
             for of in ("", "_drawn")]  # fmt: skip
    return shared / (areas[0] + areas[1] - shared)


def test_a_study_that_takes_it_copies_and_trains_nothing_and_says_so(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    nothing = pl.DataFrame()
    copies = detector_copies.make(run, nothing, nothing, nothing, nothing)
    assert (copies.schema, len(copies)) == (DETECTOR_COPIES, 0)
    assert detector_evolution.make(run, copies).is_empty()
    model = detector_model.make(run, copies, nothing)
    assert run.notes["detector"] == "the one that ships, trained on phantoms alone"
    row = model.row(0, named=True)
    assert model.schema == DETECTOR_MODEL
    assert (row["protocol"], row["source_weights"], row["learnt_from"]) == ("patient", "shipped", [])
    assert row["n_train_images"] > 1000  # phantoms
    assert row["weights_sha256"] == shipped_record("detector")["sha256"]
    assert verified_weights(row, run.store).is_relative_to(tmp_path)
    refuse_stale_detector(row, copies, PRETRAINED.detection, run.seed, tmp_path)
    assert detector_model.make(run, copies, nothing).equals(model)


def test_every_protocol_has_the_same_detector(tmp_path: Path) -> None:
    model = shipped_model(ArtifactStore(tmp_path), ("patient", "thesis"))
    assert model["protocol"].to_list() == ["patient", "thesis"]
    assert model["weights_sha256"].n_unique() == 1


def test_a_trained_detector_is_stale_in_a_study_that_takes_the_shipped_one_and_the_other_way_round(
    tmp_path: Path,
) -> None:
    row = shipped_model(ArtifactStore(tmp_path), ("patient",)).row(0, named=True)
    copies = DETECTOR_COPIES.to_frame()
    with pytest.raises(StaleDetectorError, match="not the detector that ships"):
        refuse_stale_detector({**row, "fingerprint": "0" * 16}, copies, PRETRAINED.detection, 1, tmp_path)
    with pytest.raises(StaleDetectorError, match="trained with other copies, settings, start weights"):
        refuse_stale_detector(row, copies, load_profile("demo").detection, 1, tmp_path)


def test_what_the_run_hangs_on_is_the_hash_of_the_shipped_file(tmp_path: Path) -> None:
    assert start_weights(run_of(tmp_path)) == shipped_fingerprint()
    assert start_weights(run_of(tmp_path, "demo")) == "random"


@pytest.mark.parametrize("changes", [{"evolution": {"generations": 3}}, {"use_evolved": True}])
def test_what_is_taken_as_it_is_does_not_evolve(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="weights: shipped is taken as it is"):
        DetectionSettings.model_validate({"weights": "shipped", **changes})


@pytest.mark.parametrize("cohort", [NOBODY, COHORT], ids=["films alone", "three patients"])
def test_too_few_to_learn_from_stop_a_study_that_trains_and_not_one_that_takes_what_ships(
    tmp_path: Path, cohort: pl.DataFrame
) -> None:
    run = run_of(tmp_path)
    splits = patient_splits.make(run, cohort)
    assert splits.is_empty()
    assert "development" in run.notes["nothing can be learnt"]
    assert every_development_patient_has_one_side.find(run, splits, cohort).is_empty()
    with pytest.raises(PatientSplitError):
        patient_splits.make(run_of(tmp_path, "demo"), cohort)


def test_a_trained_detector_is_written_in_half_precision_and_read_back_the_same(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "lake")
    trained = {"kernel": np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4), "mean": np.full(3, 1e-7, np.float32)}
    store.root.mkdir()
    save_file(trained, store.root / "own.safetensors")
    model = shipped_model(store, ("patient",)).with_columns(weights_path=pl.lit("own.safetensors"))
    write_shipped(model, store, {"profile": "weights"}, tmp_path / "shipped")
    kept = load_file(weights_file("detector", tmp_path / "shipped"))
    np.testing.assert_allclose(kept["kernel"], trained["kernel"], rtol=1e-3)
    assert (kept["kernel"].dtype, kept["mean"].dtype) == (np.float16, np.float32)
    again = shipped_model(ArtifactStore(tmp_path / "other"), ("patient",), tmp_path / "shipped")
    assert again["weights_sha256"].item() != model["weights_sha256"].item()
    assert again["network"].item() == model["network"].item()


def test_shipped_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    (tmp_path / "detector.json").write_bytes((FOLDER / "detector.json").read_bytes())
    weights_file("detector", tmp_path).write_bytes(b"others")
    with pytest.raises(ShippedWeightsError, match=r"not the weights that detector\.json names"):
        shipped_model(ArtifactStore(tmp_path / "lake"), ("patient",), tmp_path)


def test_the_first_patient_of_those_that_all_learn_from_validates() -> None:
    films = pl.DataFrame({"institution": ["a", "a", "b"], "patient_id": ["1", "1", "2"]})
    assert all_train(films, 1).select("institution", "patient_id", "fold").rows() == [("a", "1", 1), ("b", "2", 2)]
