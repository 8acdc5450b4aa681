"""The leakage firewall: what a scored sample has in common with what was learnt from.

What lives here: `leakage_audit`, `leakage_summary` and the stamp on the metric tables. What does not: the relation that
is audited (`lineage.py`), looking at pictures (`fingerprints.py`), stopping the metric tables (`checks.py`).

Kinds, from the closest on; each counts whatever the closer ones count:
`same_sample` the very sample; `same_crop` another copy of its crop (replica); `same_film` another vertebra of its film,
or a copy of the film; `same_patient` another film of the patient. `same_pixels` and `near_duplicate` are the same or
nearly the same picture under another patient's name. `external_used`: something was learnt from an external hospital.
"""

from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from olvf_assets.evaluation.firewall.fingerprints import near_duplicates
from olvf_assets.evaluation.tables import LEAKAGE_AUDIT, LEAKAGE_SUMMARY

PATIENT = ["institution", "patient_id"]
KINDS = {
    "same_sample": ["institution", "sample_id"],
    "same_crop": ["institution", "crop_id"],
    "same_film": ["institution", "film_id"],
    "same_patient": PATIENT,
}
PICTURES = ("crop_path", "film_path")
OF_FOLD = ("classifier_training", "classifier_validation", "temperature", "operating_point")
OF_DETECTOR = ("detector_training", "detector_evolution")


class Way(NamedTuple):
    """A way that must be closed, from a stage that is learnt from to one that is scored; fold: only within a fold."""

    left: str
    right: str
    fold: bool = False


WAYS = (
    *(Way(left, right) for right in ("test", "external") for left in (*OF_DETECTOR, *OF_FOLD)),
    Way("classifier_training", "classifier_validation", fold=True),
    Way("detector_training", "detector_validation"),
)


def leakage_audit(
    sample_lineage: pl.DataFrame,
    picture_fingerprints: pl.DataFrame,
    institutions: pl.DataFrame,
    least_correlation: float,
) -> pl.DataFrame:
    """Return `leakage_audit`: every way across a split, one row per kind, pair of stages and scored sample.

    `left_sample` is one (the first) of `n_left` samples that the scored `right_sample` shares something with. Of
    `external_used`, `right_sample` is the external institution.

    Args:
        sample_lineage: `sample_lineage`.
        picture_fingerprints: `picture_fingerprints`, all institutions.
        institutions: `institutions`: who is external.
        least_correlation: from which correlation of thumbnails on two pictures are near-duplicates.
    """
    found = [LEAKAGE_AUDIT.to_frame(), _external_used(sample_lineage, institutions)]
    thumbnails = dict(picture_fingerprints.select("image_path", "thumbnail").unique("image_path").iter_rows())
    stages = sample_lineage.partition_by("protocol", "stage", as_dict=True)
    for protocol in sample_lineage["protocol"].unique().sort():
        for way in WAYS:
            left, right = stages.get((protocol, way.left)), stages.get((protocol, way.right))
            if left is not None and right is not None:
                pairs = [*_shared(left, right, way), *_alike(left, right, way, thumbnails, least_correlation)]
                found += [_rows(kind, each, protocol, way) for kind, each in pairs]
    keys = ["protocol", "left_stage", "right_stage", "kind", "right_sample"]
    return pl.concat(found).sort(keys)


def leakage_summary(leakage_audit: pl.DataFrame, sample_lineage: pl.DataFrame) -> pl.DataFrame:
    """Return `leakage_summary`: of how many samples of each scored stage each kind of leak is true.

    Every protocol and way that was looked at has its rows, those without a finding too: `n_samples` is 0 there.
    """
    stages = sample_lineage.group_by("protocol", "stage").agg(
        pl.struct("institution", "sample_id").n_unique().alias("n")
    )
    scored = stages.rename({"stage": "right_stage", "n": "n_right"})
    learnt = stages.select("protocol", left_stage="stage")
    ways = pl.DataFrame([way[:2] for way in WAYS], schema=["left_stage", "right_stage"], orient="row")
    kinds = pl.DataFrame({"kind": [*KINDS, "same_pixels", "near_duplicate"]})
    looked_at = ways.join(learnt, on="left_stage").join(scored, on=["protocol", "right_stage"]).join(kinds, how="cross")
    key = ["protocol", "left_stage", "right_stage", "kind"]
    counted = leakage_audit.group_by(key).agg(pl.col("right_sample").n_unique().alias("n_samples"))
    elsewhere = counted.filter(kind="external_used").with_columns(n_right=pl.lit(None, pl.Int64))
    table = pl.concat(
        [looked_at.join(counted, on=key, how="left"), elsewhere.select(*key, "n_right", "n_samples")],
        how="diagonal_relaxed",
    ).with_columns(pl.col("n_samples").fill_null(0))
    share = pl.col("n_samples") / pl.col("n_right")
    return table.with_columns(share=share).select(LEAKAGE_SUMMARY.names()).cast(LEAKAGE_SUMMARY).sort(key)


def leaks_of(leakage_summary: pl.DataFrame, right_stage: str) -> pl.DataFrame:
    """Return columns protocol and leaks: in words, what leaks into a scored stage and how much; no row if nothing does.

    Of each pair of stages the kind that is true of most samples is named, of equals the closest.
    """
    closest = pl.col("kind").replace_strict(
        [*KINDS, "same_pixels", "near_duplicate", "external_used"], range(7), return_dtype=pl.Int64
    )
    worst = (
        leakage_summary.filter(pl.col("right_stage") == right_stage, pl.col("n_samples") > 0)
        .sort("protocol", "left_stage", pl.col("n_samples") * -1, closest)
        .group_by("protocol", "left_stage", maintain_order=True)
        .first()
    )
    words = pl.format(
        "{}: {} of {}%",
        pl.col("left_stage").str.replace_all("_", " "),
        pl.col("kind").str.replace_all("_", " "),
        (pl.col("share").fill_null(1) * 100).round().cast(pl.Int64),
    )
    return worst.group_by("protocol", maintain_order=True).agg(words.str.join("; ").alias("leaks"))


def stamped(metrics: pl.DataFrame, leakage_summary: pl.DataFrame, right_stage: str) -> pl.DataFrame:
    """Return a metric table with the column `leaks`, null where nothing leaks into its samples."""
    return metrics.join(leaks_of(leakage_summary, right_stage), on="protocol", how="left", maintain_order="left")


def forbidden(leakage_summary: pl.DataFrame) -> pl.DataFrame:
    """Return the findings that stop the metric tables: all of protocol `patient`."""
    return leakage_summary.filter(pl.col("protocol") == "patient", pl.col("n_samples") > 0)


def _external_used(lineage: pl.DataFrame, institutions: pl.DataFrame) -> pl.DataFrame:
    external = institutions.filter(role="external").select("institution")
    learnt = lineage.filter(pl.col("stage").is_in([*OF_DETECTOR, *OF_FOLD, "detector_validation"]))
    used = learnt.join(external, on="institution").sort("sample_id")
    key = ["protocol", "stage", "institution"]
    rows = used.group_by(key).agg(pl.col("sample_id").first(), pl.col("sample_id").n_unique().alias("n_left"))
    return rows.select(
        "protocol",
        kind=pl.lit("external_used"),
        left_stage="stage",
        right_stage=pl.lit("external"),
        left_sample="sample_id",
        right_sample="institution",
        n_left="n_left",
        detail=pl.format("{} samples of the external {} were used in {}", "n_left", "institution", "stage"),
    ).cast(LEAKAGE_AUDIT)  # fmt: skip


def _shared(left: pl.DataFrame, right: pl.DataFrame, way: Way) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield (kind, pairs) for samples that share an id; pairs hold left_sample, right_sample, n_left."""
    for kind, ids in KINDS.items():
        on = [*ids, "fold"] if way.fold else ids
        known = left.filter(pl.col(ids[-1]).is_not_null())
        shared = known.sort("sample_id").group_by(on, maintain_order=True)
        firsts = shared.agg(pl.col("sample_id").first().alias("left_sample"), pl.len().alias("n_left"))
        yield kind, right.join(firsts, on=on).select("left_sample", "n_left", right_sample="sample_id")


def _alike(
    left: pl.DataFrame, right: pl.DataFrame, way: Way, thumbnails: dict[str, bytes], least_correlation: float
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield (kind, pairs) for samples of different patients whose pictures are the same or nearly the same."""
    for column in PICTURES:
        paths = [frame[column].drop_nulls().unique().sort() for frame in (left, right)]
        known = [[path for path in each if path in thumbnails] for each in paths]
        looks = [[thumbnails[path] for path in each] for each in known]
        close = near_duplicates(looks[0], looks[1], least_correlation)
        near = [(known[0][i], known[1][j]) for i, j, _ in close if known[0][i] != known[1][j]]
        equal = sorted(set(paths[0]) & set(paths[1]))
        for kind, pairs in (("same_pixels", [(path, path) for path in equal]), ("near_duplicate", near)):
            if pairs:
                yield kind, _other_patients(left, right, way, column, pairs)


def _other_patients(
    left: pl.DataFrame, right: pl.DataFrame, way: Way, column: str, pairs: list[tuple[str, str]]
) -> pl.DataFrame:
    both = ["fold"] if way.fold else []
    pictures = pl.DataFrame(pairs, schema=["left_path", "right_path"], orient="row")
    about = [*PATIENT, "sample_id", *both]
    samples = (
        left.select(*about, left_path=column)
        .join(pictures, on="left_path")
        .join(right.select(*about, right_path=column), on=["right_path", *both], suffix="_right")
        .filter(pl.struct(PATIENT) != pl.struct(pl.col(f"{name}_right").alias(name) for name in PATIENT))
        .sort("sample_id")
    )
    return samples.group_by(right_sample="sample_id_right").agg(
        pl.col("sample_id").first().alias("left_sample"), pl.len().alias("n_left")
    )


def _rows(kind: str, pairs: pl.DataFrame, protocol: str, way: Way) -> pl.DataFrame:
    """Return rows of the audit, one per scored sample, whatever the number of folds and pictures it was found by."""
    first_and_number = pl.col("left_sample").first(), pl.col("n_left").sum()
    return pairs.sort("left_sample").group_by("right_sample").agg(first_and_number).select(
        protocol=pl.lit(protocol),
        kind=pl.lit(kind),
        left_stage=pl.lit(way.left),
        right_stage=pl.lit(way.right),
        left_sample="left_sample",
        right_sample="right_sample",
        n_left="n_left",
        detail=pl.format(f"{{}} of {way.left}: {kind.replace('_', ' ')}", "left_sample"),
    ).cast(LEAKAGE_AUDIT)  # fmt: skip
