"""The whole cohort of the profile `thesis`, without pixels, held against every count that the thesis prints."""

from collections.abc import Mapping

import polars as pl
import pytest
from scipy.stats import ttest_ind_from_stats
from sklearn.metrics import cohen_kappa_score

from olvf_assets.classification.replication import dealt_folds, replica_rows
from olvf_assets.classification.splits import make_splits
from olvf_assets.cohort.agreement import reader_agreement, reader_confusion
from olvf_assets.cohort.baseline import baseline_characteristics
from olvf_assets.cohort.patient_split import patient_splits
from olvf_assets.cohort.rehearsal import rehearse
from olvf_assets.detection.copies import planned_copies
from olvf_assets.detection.tables import DETECTOR_ANSWERS, DRAFT_CORRECTIONS
from olvf_assets.foundation.vocabulary import CLASSES, LEVELS
from olvf_assets.orchestration.sql_models import load_models, load_tests
from olvf_assets.profiles import load_profile

THESIS = load_profile("thesis")
HOSPITALS = ("institution_1", "institution_2")
Tables = Mapping[str, pl.DataFrame]

# Table 5: L1 to L5. The columns add up to the printed totals, and 5 x films - dropped crops to the sum of all cells:
# 5 x 716 - 99 = 3481 and 5 x 137 - 23 = 662. So the 716 films are all that gave crops, the thoracic laterals among
# them, and the vertebrae outside their field are among the 99.
TABLE_5 = {
    "institution_1": {
        "normal": (322, 467, 464, 486, 545),
        "old": (211, 124, 131, 129, 81),
        "fresh": (175, 118, 106, 76, 46),
    },
    "institution_2": {"normal": (63, 83, 87, 97, 106), "old": (43, 27, 28, 23, 14), "fresh": (26, 23, 19, 15, 8)},
}
FILMS = {"institution_1": 716, "institution_2": 137}
DROPPED = {"institution_1": 99, "institution_2": 23}
ENROLLED = {"institution_1": 523, "institution_2": 140}
ALL_NORMAL = {"institution_1": 93, "institution_2": 0}
REASON_1 = {"institution_1": (12, 3), "institution_2": (2, 1)}  # fresh, old
USED = {"institution_1": (280, 135), "institution_2": (77, 60)}  # fresh, old
AGES = {
    "institution_1": {"fresh": ("78.5", "11.4"), "old": ("77.1", "9.3")},
    "institution_2": {"fresh": ("69.6", "13.7"), "old": ("70.8", "11.1")},
}
MRI_DELAY = {"institution_1": ("3.7", "17.0"), "institution_2": ("8.1", "10.9")}  # fresh patients
EARLY = {"institution_1": (200, 280), "institution_2": (48, 77)}
KAPPA = {"inter": 0.801, "intra_reader_1": 0.821, "intra_reader_2": 0.861}


@pytest.fixture(scope="module")
def hospitals() -> dict[str, Tables]:
    return {key: rehearse(key, THESIS.phantom, THESIS.intake, THESIS.seed, load_models()) for key in HOSPITALS}


@pytest.fixture(scope="module")
def baselines(hospitals: dict[str, Tables]) -> dict[str, pl.DataFrame]:
    read = ("subjects", "cohort_vertebrae", "consensus_labels", "films")
    return {key: baseline_characteristics(*(tables[name] for name in read)) for key, tables in hospitals.items()}


def sums(flow: pl.DataFrame, **where: str) -> dict[str, int]:
    chosen = flow.filter(**where)
    return {name: int(chosen[name].sum()) for name in ("n", "n_normal", "n_old", "n_fresh")}


NO_DETECTOR = {name: schema.to_frame() for name, schema in
               (("detector_answers", DETECTOR_ANSWERS), ("draft_corrections", DRAFT_CORRECTIONS))}  # fmt: skip


@pytest.mark.parametrize("key", HOSPITALS)
def test_the_published_counts_hold_together(key: str) -> None:
    cells = sum(sum(levels) for levels in TABLE_5[key].values())
    assert cells == 5 * FILMS[key] - DROPPED[key] == {"institution_1": 3481, "institution_2": 662}[key]
    assert ENROLLED[key] == ALL_NORMAL[key] + sum(REASON_1[key]) + sum(USED[key])


@pytest.mark.parametrize("key", HOSPITALS)
def test_patients_go_the_way_of_the_thesis(key: str, hospitals: dict[str, Tables]) -> None:
    flow = hospitals[key]["participant_flow"].filter(unit="patient")
    assert flow["n"].sum() == ENROLLED[key]
    assert sums(flow, reason="all_normal")["n"] == ALL_NORMAL[key]
    reason_1 = flow.filter(pl.col("state") == "excluded", pl.col("reason") != "all_normal")
    assert (reason_1["n_fresh"].sum(), reason_1["n_old"].sum()) == REASON_1[key]
    fresh, old = USED[key]
    assert sums(flow, state="used") == {"n": fresh + old, "n_normal": 0, "n_old": old, "n_fresh": fresh}


@pytest.mark.parametrize("key", HOSPITALS)
def test_every_reason_1_of_the_thesis_excludes_by_its_rule(key: str, hospitals: dict[str, Tables]) -> None:
    flow = hospitals[key]["participant_flow"].filter(unit="patient", state="excluded")
    site = THESIS.phantom.institutions[key]
    wanted = {reason: site.excluded_fresh.get(reason, 0) + site.excluded_old.get(reason, 0)
              for reason in (*site.excluded_fresh, *site.excluded_old)}  # fmt: skip
    if "pathological" in wanted:
        wanted["pathological_fracture_only"] = wanted.pop("pathological")
    found = dict(flow.filter(pl.col("reason") != "all_normal").select("reason", "n").iter_rows())
    assert found == wanted
    rules = dict(flow.select("reason", "rule").iter_rows())
    assert rules["severe_crush"] == "exclusion_severe_crush"
    assert rules["poor_image_quality"] == "exclusion_fracture_condition"


@pytest.mark.parametrize("key", HOSPITALS)
def test_films_and_dropped_crops_are_as_many_as_in_the_thesis(key: str, hospitals: dict[str, Tables]) -> None:
    flow = hospitals[key]["participant_flow"]
    assert sums(flow, unit="film", state="used")["n"] == FILMS[key]
    assert sums(flow, unit="vertebra", rule="exclusion_crop_condition")["n"] == DROPPED[key]
    kept_apart = flow.filter(unit="vertebra", state="excluded").filter(pl.col("rule") != "exclusion_crop_condition")
    assert kept_apart["n"].sum() == 5 * sums(flow, unit="film", state="excluded")["n"]


@pytest.mark.parametrize("key", HOSPITALS)
def test_crops_by_class_and_level_are_table_5(key: str, hospitals: dict[str, Tables]) -> None:
    counts = dict(
        hospitals[key]["vertebra_crops"].group_by(pl.concat_str("label", "level", separator=" ")).len().iter_rows()
    )
    found = {label: tuple(counts[f"{label} {level}"] for level in LEVELS) for label in CLASSES}
    assert found == TABLE_5[key]
    flow = sums(hospitals[key]["participant_flow"], unit="vertebra", state="used")
    assert flow == {"n": sum(counts.values())} | {f"n_{label}": sum(TABLE_5[key][label]) for label in CLASSES}


@pytest.mark.parametrize("key", HOSPITALS)
def test_ages_delays_and_early_films_are_those_of_the_thesis(key: str, baselines: dict[str, pl.DataFrame]) -> None:
    rows = {(row["characteristic"], row["category"], row["patient_group"]): row
            for row in baselines[key].iter_rows(named=True)}  # fmt: skip

    def printed(characteristic: str, group: str) -> tuple[str, str]:
        row = rows[characteristic, "all", group]
        return f"{row['mean']:.1f}", f"{row['sd']:.1f}"

    assert {group: printed("age_years", group) for group in ("fresh", "old")} == AGES[key]
    assert printed("mri_delay_days", "fresh") == MRI_DELAY[key]
    early = rows["film_within_14_days_of_onset", "true", "fresh"]
    assert (early["n"], early["n_total"]) == EARLY[key]
    (m1, s1), (m2, s2) = (tuple(map(float, AGES[key][group])) for group in ("fresh", "old"))
    expected = ttest_ind_from_stats(m1, s1, USED[key][0], m2, s2, USED[key][1], equal_var=False).pvalue
    assert rows["age_years", "all", "all"]["p_value"] == pytest.approx(expected, abs=0.02)
    assert rows["age_years", "all", "all"]["p_value"] > 0.05
    assert sum(row["n"] for row in rows.values() if row["characteristic"] == "fresh_images"
               and row["patient_group"] == "all") == sum(TABLE_5[key]["fresh"])  # fmt: skip


def test_the_readers_agree_as_in_the_thesis(hospitals: dict[str, Tables]) -> None:
    labels = hospitals["institution_1"]["reader_labels"]
    settings = THESIS.cohort.model_copy(update={"bootstrap_draws": 200})
    table = reader_agreement(labels, settings, THESIS.seed).filter(level="all", weighting="linear")
    found = dict(table.select("comparison", "kappa").iter_rows())
    assert found == pytest.approx(KAPPA, abs=0.01)
    assert table.filter(comparison="intra_reader_1")["n_patients"].item() == 50
    pairs = reader_confusion(labels).filter(level="all", comparison="inter").filter(pl.col("n_vertebrae") > 0)
    kappa = cohen_kappa_score(
        pairs["first_label"],
        pairs["second_label"],
        labels=CLASSES,
        weights="linear",
        sample_weight=pairs["n_vertebrae"],
    )
    assert kappa == pytest.approx(found["inter"])


def test_141_patients_needed_a_consensus_and_none_is_open(hospitals: dict[str, Tables]) -> None:
    queue = hospitals["institution_1"]["consensus_queue"]
    assert queue.filter(question="class")["patient_id"].n_unique() == 141
    assert set(queue["state"]) == {"settled"}
    assert set(queue["settled_by"]) == {"consensus"}


@pytest.mark.parametrize("key", HOSPITALS)
@pytest.mark.parametrize("test", load_tests(), ids=lambda test: test.name)
def test_every_rule_over_the_tables_holds(test, key: str, hospitals: dict[str, Tables]) -> None:
    tables = {**NO_DETECTOR, **hospitals[key]}
    assert test.find(None, **{name: tables[name] for name in test.reads}).rows() == []


def test_protocol_thesis_splits_and_replicates_to_the_counts_of_the_thesis(hospitals: dict[str, Tables]) -> None:
    classification = THESIS.classification
    crops = hospitals["institution_1"]["vertebra_crops"].with_columns(
        protocol=pl.lit("thesis"), role=pl.lit("development"), image_path="crop_id"
    )
    split = patient_splits(hospitals["institution_1"]["cohort_vertebrae"], THESIS.cohort, THESIS.seed)
    sides = make_splits(crops, split, classification, THESIS.seed)
    assert classes_of(sides.filter(role="test")) == {"normal": 228, "old": 68, "fresh": 52}
    assert classes_of(sides.filter(role="train")) == {"normal": 2056, "old": 608, "fresh": 469}
    tested = replica_rows(sides.filter(role="test"), classification.replication.test)
    assert classes_of(tested) == {"normal": 228, "old": 204, "fresh": 208}
    assert tested.height == 640
    trained = dealt_folds(replica_rows(sides.filter(role="train"), classification.replication.train), 5, THESIS.seed)
    assert classes_of(trained) == {"normal": 2056, "old": 2432, "fresh": 2345}
    assert trained.group_by("fold").len()["len"].sort().to_list() == [1366, 1366, 1367, 1367, 1367]  # of 6833


def test_protocol_thesis_copies_716_films_ten_times(hospitals: dict[str, Tables]) -> None:
    tables = hospitals["institution_1"]
    split = patient_splits(tables["cohort_vertebrae"], THESIS.cohort, THESIS.seed)
    films = tables["films"].join(split, on=["institution", "patient_id"], how="semi")
    assert films.height == 716
    copies = planned_copies(films, split, THESIS.detection, THESIS.seed, "thesis")
    assert dict(copies["subset"].value_counts().iter_rows()) == {"train": 5728, "validation": 1432}


def test_protocol_patient_shares_one_split_and_keeps_patients_apart_at_full_scale(hospitals: dict[str, Tables]) -> None:
    tables = hospitals["institution_1"]
    split = patient_splits(tables["cohort_vertebrae"], THESIS.cohort, THESIS.seed)
    crops = tables["vertebra_crops"].with_columns(role=pl.lit("development"), image_path="crop_id")
    sides = make_splits(crops, split, THESIS.classification, THESIS.seed)
    copies = planned_copies(tables["films"], split, THESIS.detection, THESIS.seed, "patient")
    seen = copies.join(tables["films"].select("film_id", "patient_id"), on="film_id")
    tested = set(sides.filter(role="test")["patient_id"])
    assert not tested & set(seen["patient_id"])
    assert not tested & set(sides.filter(role="train")["patient_id"])
    validated = set(seen.filter(subset="validation")["patient_id"])
    assert validated == set(sides.filter(fold=THESIS.detection.validation_fold)["patient_id"])
    shares = sides.group_by("label").agg((pl.col("role") == "test").mean().alias("share"))
    assert shares["share"].to_list() == pytest.approx([0.1] * 3, abs=0.03)


def classes_of(table: pl.DataFrame) -> dict[str, int]:
    return dict(table["label"].value_counts().iter_rows())
