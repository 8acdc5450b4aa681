"""The thesis beside this run.

What lives here: this run's figure for every printed one, under each protocol, and a verdict. What does not: the printed
figures (`thesis_figures.py`), computing any figure anew.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Set
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from olvf_assets.attention.section_means import highest_columns, highest_rows, mean_grid
from olvf_assets.classification.settings import NetworkSettings
from olvf_assets.foundation.vocabulary import CLASSES, LEVELS, PROTOCOLS
from olvf_assets.reporting import thesis_figures
from olvf_assets.reporting.tables import THESIS_COMPARISON

Tables = Mapping[str, pl.DataFrame]
Path = tuple[str, ...]
OF_THE_COHORT = ("flow", "crops_by_level", "baseline", "readers", "consensus", "data")
CI_METHODS = {"thesis": "wald", "patient": "patient_bootstrap"}
Z_95 = 1.959964


class Measured(NamedTuple):
    """A figure of this run with its 95 % interval, NaN where it has none."""

    value: float
    low: float = math.nan
    high: float = math.nan


class Study(NamedTuple):
    """What a run's profile says of it: its protocols, the keys of made-up institutions, its networks."""

    protocols: Collection[str]
    synthetic: Set[str]
    networks: Collection[NetworkSettings]


def thesis_comparison(tables: Tables, study: Study) -> pl.DataFrame:
    """Return `thesis_comparison`: one row per printed figure, this run's under both protocols beside it.

    Verdicts: `inside` when the thesis's figure lies in this run's interval or, where there is none, is this run's to
    the printed digit; else `outside`; `not_comparable` with a reason when the run is another kind of thing than the
    thesis: other numbers of patients, synthetic films, other networks, another split. Its figures stand there anyway.
    Figures of the cohort are compared also when the films are synthetic: the profile `thesis` makes a cohort of the
    thesis's counts, and the verdict then says that the pipeline finds them again. Protocol `thesis` takes the
    thesis's intervals (Wald, replicas as samples), protocol `patient` those over resampled patients.

    Args:
        tables: participant_flow, vertebra_crops, baseline_characteristics, reader_agreement, consensus_queue,
            detector_copies, detector_answers, detector_model, detector_metrics, splits, balanced_test_set,
            balanced_training_set, test_metrics, external_metrics, gradcam_section_means, institutions.
        study: what kind of run it was.
    """
    printed = thesis_figures.printed_figures()
    measured = {protocol: dict(_measured(tables, protocol)) for protocol in PROTOCOLS}
    rows = []
    for figure in printed:
        row: dict[str, Any] = {
            "figure": "/".join(figure.path[1:]),
            "group": figure.path[0],
            "place": thesis_figures.PLACES.get(figure.path[0], "text"),
            "thesis": figure.value,
            "thesis_low": figure.low,
            "thesis_high": figure.high,
        }
        for protocol in PROTOCOLS:
            found = measured[protocol].get(figure.path, Measured(math.nan))
            reason = _incomparable(figure.path, protocol, found, tables, study)
            row |= {
                f"value_{protocol}": _known(found.value),
                f"low_{protocol}": _known(found.low),
                f"high_{protocol}": _known(found.high),
                f"difference_{protocol}": _known(found.value - figure.value),
                f"verdict_{protocol}": "not_comparable" if reason else _verdict(figure, found),
                f"reason_{protocol}": reason or None,
            }
        rows.append(row)
    return pl.DataFrame(rows, schema=THESIS_COMPARISON)


def _verdict(figure: thesis_figures.PrintedFigure, found: Measured) -> str:
    if math.isnan(found.low):
        return "inside" if abs(found.value - figure.value) <= figure.half_unit + 1e-9 else "outside"
    return "inside" if found.low - figure.half_unit <= figure.value <= found.high + figure.half_unit else "outside"


def _incomparable(path: Path, protocol: str, found: Measured, tables: Tables, study: Study) -> str:
    """Return why a figure cannot be held against the thesis's, or ""."""
    if protocol not in study.protocols:
        return f"protocol {protocol} was not run"
    reasons = []
    if math.isnan(found.value):
        reasons.append("this run has no such figure")
    if path[0] in OF_THE_COHORT:
        flow = dict(_flow(tables["participant_flow"]))
        enrolled = [flow.get(("flow", key, "patients_enrolled"), Measured(0)).value for key in _hospitals()]
        if enrolled != [523, 140]:
            reasons.append(f"a cohort of {enrolled[0]:.0f} and {enrolled[1]:.0f} patients, not 523 and 140")
        if path[0] == "data" and protocol == "patient":
            reasons.append("split by patient, not by picture")
    else:
        reasons += _another_study(path[0], tables, study)
    return "; ".join(reasons)


def _another_study(group: str, tables: Tables, study: Study) -> list[str]:
    reasons = []
    if set(tables["institutions"]["institution"]) & study.synthetic:
        reasons.append("synthetic films")
    if group == "detector":
        models = ", ".join(tables["detector_model"]["model"].unique().sort())
        return [*reasons, f"{models} without anchors (ultralytics), not the YOLOv5x of 2022"]
    if any(network.arguments for network in study.networks):
        reasons.append("slimmed networks")
    if any(network.weights == "random" for network in study.networks):
        reasons.append("no ImageNet weights")
    return reasons


def _measured(tables: Tables, protocol: str) -> Iterator[tuple[Path, Measured]]:
    own = {
        name: each.filter(protocol=protocol) if "protocol" in each.columns else each for name, each in tables.items()
    }
    yield from _flow(own["participant_flow"])
    yield from _crops(own["vertebra_crops"])
    yield from _baseline(own["baseline_characteristics"])
    for comparison, weighting, *kappa in (
        own["reader_agreement"]
        .filter(institution=_hospitals()[0], level="all")
        .select("comparison", "weighting", "kappa", "ci_low", "ci_high")
        .iter_rows()
    ):
        yield ("readers", comparison, weighting), Measured(*(math.nan if each is None else each for each in kappa))
    asked = own["consensus_queue"].filter(institution=_hospitals()[0], question="class")
    yield ("consensus", "patients_needing_consensus"), Measured(asked["patient_id"].n_unique())
    yield from _data(own)
    for dataset, metric, value in (
        own["detector_metrics"]
        .filter(level="all", source="pycocotools")
        .select("dataset", "metric", "value")
        .iter_rows()
    ):
        yield ("detector", dataset, metric), Measured(value)
    for dataset, hospital in zip(("test", "external"), _hospitals(), strict=True):
        yield from _classification(own[f"{dataset}_metrics"], dataset, hospital, CI_METHODS[protocol])
    yield from _attention(own["gradcam_section_means"])


def _hospitals() -> tuple[str, str]:
    return "institution_1", "institution_2"


def _flow(flow: pl.DataFrame) -> Iterator[tuple[Path, Measured]]:
    def total(where: pl.DataFrame, column: str = "n") -> Measured:
        return Measured(sum(where[column].to_list()))

    for hospital in _hospitals():
        own = flow.filter(institution=hospital)
        if own.is_empty():
            continue
        patients, films, vertebrae = (own.filter(unit=unit) for unit in ("patient", "film", "vertebra"))
        normal, used = patients.filter(reason="all_normal"), patients.filter(state="used")
        reason_1 = patients.filter(pl.col("state") == "excluded", pl.col("reason") != "all_normal")
        found = {
            "patients_enrolled": total(patients),
            "patients_all_normal": total(normal),
            "patients_excluded_fresh": total(reason_1, "n_fresh"),
            "patients_excluded_old": total(reason_1, "n_old"),
            "patients_used": total(used),
            "patients_used_fresh": total(used, "n_fresh"),
            "patients_used_old": total(used, "n_old"),
            "films_used": total(films.filter(state="used")),
            "crops_dropped": total(vertebrae.filter(rule="exclusion_crop_condition")),
        }
        for name, value in found.items():
            yield ("flow", hospital, name), value


def _crops(crops: pl.DataFrame) -> Iterator[tuple[Path, Measured]]:
    counted = crops.drop_nulls("label").group_by("institution", "label", "level").len()
    counts = {(where, label, level): n for where, label, level, n in counted.iter_rows()}
    for hospital in _hospitals():
        of_hospital = {(label, level): n for (where, label, level), n in counts.items() if where == hospital}
        if not of_hospital:
            continue
        yield ("flow", hospital, "crops_used"), Measured(sum(of_hospital.values()))
        for label in CLASSES:
            of_label = {level: of_hospital.get((label, level), 0) for level in LEVELS}
            yield ("flow", hospital, f"crops_{label}"), Measured(sum(of_label.values()))
            for level, n in of_label.items():
                yield ("crops_by_level", hospital, label, level), Measured(n)


def _baseline(baseline: pl.DataFrame) -> Iterator[tuple[Path, Measured]]:
    """Yield means with mean +- 1.96 standard errors, and standard deviations with their chi-square interval."""
    from scipy.stats import chi2

    wanted = {("age_years", "fresh"): "age_years_fresh", ("age_years", "old"): "age_years_old",
              ("mri_delay_days", "fresh"): "mri_delay_days"}  # fmt: skip
    columns = ("institution", "characteristic", "patient_group", "category", "n", "mean", "sd")
    for hospital, characteristic, group, category, n, mean, sd in baseline.select(columns).iter_rows():
        name = wanted.get((characteristic, group))
        if name and mean is not None and sd is not None and n > 1:
            error = Z_95 * sd / math.sqrt(n)
            yield ("baseline", hospital, name), Measured(mean, mean - error, mean + error)
            ends = (sd * math.sqrt((n - 1) / chi2.ppf(p, n - 1)) for p in (0.975, 0.025))
            yield ("baseline", hospital, f"{name}_sd"), Measured(sd, *ends)
        if (characteristic, group, category) == ("film_within_14_days_of_onset", "fresh", "true"):
            yield ("baseline", hospital, "films_within_14_days"), Measured(n)


def _data(tables: Tables) -> Iterator[tuple[Path, Measured]]:
    subsets = dict(tables["detector_copies"]["subset"].value_counts().iter_rows())
    if subsets:
        external = (
            tables["detector_answers"].filter(dataset="external", institution=_hospitals()[1])["film_id"].n_unique()
        )
        yield ("data", "detector", "copies"), Measured(sum(subsets.values()))
        yield ("data", "detector", "copies_training"), Measured(subsets.get("train", 0))
        yield ("data", "detector", "copies_validation"), Measured(subsets.get("validation", 0))
        yield ("data", "detector", "external_films"), Measured(external)
    sets = {
        "test_set": tables["balanced_test_set"],
        "held_out_crops": tables["splits"].filter(role="test"),
        "training_set": tables["balanced_training_set"],
    }
    for name, samples in sets.items():
        for label, n in samples["label"].value_counts().iter_rows():
            yield ("data", name, label), Measured(n)
        if len(samples):
            yield ("data", name, "all"), Measured(len(samples))


def _classification(
    metrics: pl.DataFrame, dataset: str, hospital: str, ci_method: str
) -> Iterator[tuple[Path, Measured]]:
    shown = metrics.filter(model="ensemble", fold="mean", institution=hospital, ci_method=ci_method).fill_null(math.nan)
    for metric, positive_class, *figure in shown.select(
        "metric", "positive_class", "value", "ci_low", "ci_high"
    ).iter_rows():
        yield ("classification", dataset, metric, positive_class), Measured(*figure)


def _attention(section_means: pl.DataFrame) -> Iterator[tuple[Path, Measured]]:
    from scipy.stats import spearmanr

    for name, printed in thesis_figures.section_means().items():
        grid = mean_grid(section_means, name, "red")
        if np.isnan(grid).any():
            continue
        shared = set(highest_rows(grid)) & set(thesis_figures.highest_rows()[name])
        correlation = spearmanr(grid.ravel(), np.ravel(printed)).statistic
        yield ("attention", "columns_3_to_6_highest", name), Measured(float(highest_columns(grid) == [3, 4, 5, 6]))
        yield ("attention", "highest_rows", name), Measured(len(shared))
        yield ("attention", "section_means_rank_correlation", name), Measured(float(correlation))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
