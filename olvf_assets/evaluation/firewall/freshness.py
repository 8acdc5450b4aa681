"""Whether predictions are of the labels, patients, roles, splits, weights and code at hand.

What lives here: `stale_tables`, which follows what figures rest on from the cohort to the predictions and names each
table that is of others than those there now, the first to be made again first. What does not: stopping a table of
figures (`checks.py`); leaks between tables that do belong together (`leakage.py`). Light: no torch, no pixels.

Tables are looked at as they lie in the lake, not as declared inputs: in the operations view any of them may have been
made again since, and figures made from the others would bear a fresh date.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import polars as pl

from olvf_assets.classification.ensemble import members_sha256
from olvf_assets.classification.provenance import SampleError, expected_fingerprint
from olvf_assets.classification.settings import ARCHITECTURES
from olvf_assets.detection.copies import drawn_films
from olvf_assets.detection.evolution import chosen_settings
from olvf_assets.detection.helpers import with_helper_boxes
from olvf_assets.detection.provenance import StaleDetectorError, refuse_stale_detector
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.tables import TableRun, learnt_from
from olvf_assets.foundation.vocabulary import PROTOCOLS

STALE = pl.Schema({"make_again": pl.String, "because": pl.String, "n": pl.Int64, "for_example": pl.String})
CROP = ["protocol", "institution", "crop_id", "patient_id", "level", "label"]
SAMPLE = [*CROP, "sample_id", "replica", "image_path"]
PATIENT = ["institution", "patient_id"]
ROLE_OF = {"test": "development", "validation": "development", "external": "external"}


class AbsentTableError(OlvfError):
    """A table that figures rest on is not in the lake, or is of an older release and lacks a column."""


def stale_tables(predictions: pl.DataFrame, datasets: Sequence[str], run: TableRun) -> pl.DataFrame:
    """Return make_again, because, n, for_example: each table that must be made again before figures may be made.

    Args:
        predictions: `fold_predictions`, `validation_predictions` or `ensemble_predictions`.
        datasets: those of `test`, `external` and `validation` that the figures are of.
        run: gives the tables of the lake, the profile, and the folder of named start weights.
    """
    links = _Links(predictions.filter(pl.col("dataset").is_in(list(datasets))), datasets, run)
    rows = []
    for make_again, find in links.in_order():
        try:
            found = [(because, rows) for because, rows in find() if rows.height]
        except (AbsentTableError, pl.exceptions.ColumnNotFoundError) as error:
            rows.append((make_again, f"a table is absent or of an older release: {str(error).splitlines()[0]}", 0, ""))
            continue
        rows += [(make_again, because, broken.height, str(broken.row(0, named=True))) for because, broken in found]
    return pl.DataFrame(rows, schema=STALE, orient="row")


Findings = Iterator[tuple[str, pl.DataFrame]]


def _as_text(lists: str) -> pl.Expr:
    """Return a column of lists of structs as text, which can be compared."""
    return pl.struct(lists).struct.json_encode()


class _Links:
    """The steps from the cohort to the predictions, each held against the one before; rows that differ are yielded."""

    def __init__(self, predictions: pl.DataFrame, datasets: Sequence[str], run: TableRun) -> None:
        self.predictions, self.datasets, self.run, self.profile = predictions, datasets, run, run.profile
        self.learnt = {"test", "validation"} & set(datasets)
        self.architectures = "architecture" in predictions.columns

    def in_order(self) -> Iterator[tuple[str, Callable[[], Findings]]]:
        """Yield each table with what finds it stale, from the cohort on.

        Figures of external hospitals are of networks as they were trained: what became of the development hospitals
        since concerns the figures of the internal test, and stops those.
        """
        if self.learnt:
            yield "patient_splits", self.patient_splits
            yield "detector_copies", self.detector_copies
        yield "detector_model", self.detector_model
        yield "detection_candidates, detected_films, detections, detected_crops, vertebra_crops", self.crops_of_detector
        yield "vertebra_crops", self.crops_of_cohort
        if self.learnt:
            yield "splits", self.splits
            yield "balanced_training_set", lambda: self.balanced("balanced_training_set", "train")
            yield "balanced_test_set", lambda: self.balanced("balanced_test_set", "test")
        for architecture in ARCHITECTURES:
            yield f"{architecture}_checkpoints", partial(self.checkpoints_of_data, architecture)
        made = "validation_predictions" if "validation" in self.datasets else "crop_scores, fold_predictions"
        made = made if self.architectures else f"{made}, ensemble_predictions"
        yield made, self.predictions_of_samples
        yield made, self.predictions_of_weights

    def table(self, name: str) -> pl.DataFrame:
        found = self.run.stored(name)
        if found is None:
            raise AbsentTableError(f"{name} was never made")
        if "protocol" in found.columns:
            found = found.filter(pl.col("protocol").is_in(self.profile.protocols))
        return found

    def learning(self, name: str) -> pl.DataFrame:
        """Return a table without the rows of hospitals that the profile trains without."""
        return learnt_from(self.run, self.table(name))

    def crops(self) -> pl.DataFrame:
        """Return the crops that the figures may be of: of hospitals with the role of their datasets."""
        crops = self.table("vertebra_crops")
        return crops.filter(pl.col("role").is_in([ROLE_OF[each] for each in self.datasets]))

    def patient_splits(self) -> Findings:
        cohort = self.learning("cohort_vertebrae").filter(role="development").select(PATIENT).unique()
        split = self.table("patient_splits").select(PATIENT)
        yield "development patients of the cohort that are on no side", cohort.join(split, on=PATIENT, how="anti")
        yield (
            "patients on a side who are no development patients of the cohort",
            split.join(cohort, on=PATIENT, how="anti"),
        )

    def detector_copies(self) -> Findings:
        copies = self.table("detector_copies")
        split = self.table("patient_splits").select(*PATIENT, "role", "fold")
        yield (
            "copies of patients who are on no side",
            copies.join(split, on=PATIENT, how="anti").select("protocol", *PATIENT, "film_id"),
        )
        validates = pl.col("fold") == self.profile.detection.validation_fold
        subset = pl.when(validates).then(pl.lit("validation")).otherwise(pl.lit("train"))
        sides = split.filter(role="train").select(*PATIENT, subset=subset)
        own = copies.filter(protocol="patient").select(*PATIENT, "film_id", "copy", "subset")
        yield "copies on another side than their patient", own.join(sides, on=[*PATIENT, "subset"], how="anti")
        drawn = drawn_films(self.table("films"), self.table("reader_boxes"))
        drawn = with_helper_boxes(drawn, self.table("drawn_films"))
        film = ["institution", "film_id", "patient_id"]
        now = drawn.select(*film, boxes_now="boxes", helpers_now=_as_text("helper_boxes"))
        boxes = copies.select("protocol", *film, "boxes", helpers=_as_text("helper_boxes"))
        boxes = boxes.unique(["protocol", *film]).join(now, on=film, how="left")
        other_number = pl.col("boxes").list.len() != pl.col("boxes_now").list.len().fill_null(-1)
        redrawn = boxes.filter(other_number | (pl.col("helpers") != pl.col("helpers_now").fill_null("")))
        same = boxes.join(redrawn, on=["protocol", *film], how="anti")
        corners = same.select("protocol", *film, "boxes", "boxes_now").explode("boxes", "boxes_now")
        moved = corners.filter(pl.col("boxes") != pl.col("boxes_now")).unique(["protocol", *film])
        yield (
            "copies of films that are gone, of another patient or drawn anew",
            pl.concat([redrawn.select("protocol", *film), moved.select("protocol", *film)]),
        )

    def detector_model(self) -> Findings:
        model, copies = self.table("detector_model"), self.table("detector_copies")
        evolution, settings = self.table("detector_evolution"), self.profile.detection
        stale = []
        for protocol in PROTOCOLS:
            for row in model.filter(protocol=protocol).iter_rows(named=True):
                chosen, _ = chosen_settings(settings, evolution, protocol)
                try:
                    refuse_stale_detector(row, copies, chosen, self.profile.seed, self.run.data / "weights")
                except StaleDetectorError:
                    stale.append(protocol)
        yield "trained with other copies, settings, start weights, libraries or code", pl.DataFrame({"protocol": stale})

    def crops_of_detector(self) -> Findings:
        detector = self.table("detector_model").select("protocol", detector_sha256="weights_sha256")
        found = self.crops().select("protocol", "institution", "crop_id", "detector_sha256")
        yield "crops that another detector found", found.join(detector, on=detector.columns, how="anti")

    def crops_of_cohort(self) -> Findings:
        image = ["institution", "film_id", "level", "patient_id", "label", "role"]
        unlabelled = self.table("unlabelled_vertebrae").with_columns(label=pl.lit(None, pl.String))
        cohort = pl.concat([self.table("cohort_vertebrae").select(image), unlabelled.select(image)])
        crops = self.crops().select("protocol", "crop_id", *image)
        yield (
            "crops of vertebrae that the cohort does not hold, or holds under another patient, label or role",
            crops.join(cohort, on=image, how="anti", nulls_equal=True),
        )

    def splits(self) -> Findings:
        labelled = self.learning("vertebra_crops").filter(pl.col("label").is_not_null(), role="development")
        crops = labelled.select(CROP)
        splits = self.table("splits")
        yield "crops without a side, by patient and label", crops.join(splits, on=CROP, how="anti")
        yield "sides of crops that are gone, by patient and label", splits.join(crops, on=CROP, how="anti")
        side = [*PATIENT, "role", "fold"]
        own = splits.filter(protocol="patient")
        patients = self.table("patient_splits").select(side)
        yield "crops on another side than their patient", own.join(patients, on=side, how="anti", nulls_equal=True)

    def balanced(self, name: str, role: str) -> Findings:
        own, samples = self.table("splits").filter(role=role), self.table(name)
        yield "crops of this side without a sample", own.select(CROP).join(samples, on=CROP, how="anti")
        yield "samples of crops that are not of this side", samples.select(CROP).join(own, on=CROP, how="anti")
        picture = ["protocol", "institution", "crop_id", "image_path"]
        crops = self.table("vertebra_crops").select(picture)
        originals = samples.filter(replica=0).select(picture)
        yield "samples with another picture than their crop", originals.join(crops, on=picture, how="anti")

    def checkpoints_of_data(self, architecture: str) -> Findings:
        samples, seed = self.table("balanced_training_set"), self.profile.seed
        stale = []
        for row in self.table(f"{architecture}_checkpoints").iter_rows(named=True):
            if "start_sha256" not in row:
                raise AbsentTableError(f"{architecture}_checkpoints lacks start_sha256")
            try:
                wanted = expected_fingerprint(row, samples, self.profile.classification, seed)
            except SampleError:
                wanted = ""
            if row["fingerprint"] != wanted:
                stale.append((row["protocol"], row["fold"]))
        yield (
            "trained with other samples, settings, start weights, libraries or code",
            pl.DataFrame(stale, schema=["protocol", "fold"], orient="row"),
        )

    def predictions_of_samples(self) -> Findings:
        for dataset in self.datasets:
            on = [*SAMPLE, "fold"] if dataset == "validation" else SAMPLE
            said = self.predictions.filter(dataset=dataset).select(on).unique()
            wanted = self._wanted(dataset).select(on)
            yield f"{dataset} samples without a prediction", wanted.join(said, on=on, how="anti", nulls_equal=True)
            yield (
                f"predictions of {dataset} samples that are gone, or of another patient, label, role, side or picture",
                said.join(wanted, on=on, how="anti", nulls_equal=True),
            )

    def _wanted(self, dataset: str) -> pl.DataFrame:
        if dataset == "test":
            return self.table("balanced_test_set")
        if dataset == "validation":
            return self.table("balanced_training_set").filter(replica=0)
        # a hospital that came in and is not scored yet has no figures; one that was scored has them of all its crops
        scored = self.predictions.filter(dataset="external").select("institution").unique()
        crops = self.table("vertebra_crops").filter(role="external").join(scored, on="institution", how="semi")
        return crops.with_columns(sample_id=pl.col("crop_id") + "-r0", replica=pl.lit(0, pl.Int64))

    def predictions_of_weights(self) -> Findings:
        own = ["protocol", "architecture", "fold", "weights_sha256"]
        members = pl.concat(self.table(f"{name}_checkpoints").select(own) for name in ARCHITECTURES)
        if self.architectures:
            key = own
        else:
            key = ["protocol", "model", "fold", "weights_sha256"]
            members = _ensembles(members)
        said = self.predictions.select(key).unique()
        yield "made by weights that are none of the checkpoints", said.join(members.select(key), on=key, how="anti")
        if self.predictions.height:
            yield "checkpoints that made none", members.select(key).join(said, on=key, how="anti")


def _ensembles(checkpoints: pl.DataFrame) -> pl.DataFrame:
    """Return protocol, model, fold, weights_sha256 of every ensemble of the checkpoints, as predictions name them."""
    rows = []
    for (protocol,), own in checkpoints.sort("architecture", "fold").group_by("protocol"):
        for fold in own["fold"].unique().sort():
            rows.append((protocol, "ensemble", str(fold), own.filter(fold=fold)["weights_sha256"].to_list()))
        rows.append((protocol, "ensemble_of_15", "mean", own["weights_sha256"].to_list()))
    return pl.DataFrame(
        [(protocol, model, fold, members_sha256(tuple(weights))) for protocol, model, fold, weights in rows],
        schema={"protocol": pl.String, "model": pl.String, "fold": pl.String, "weights_sha256": pl.String},
        orient="row",
    )
