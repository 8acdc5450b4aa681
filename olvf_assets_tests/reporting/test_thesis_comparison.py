"""The thesis's own figures, fed through as if a run had found them, and runs that are not the thesis."""

from collections.abc import Mapping

import polars as pl
import pytest

from olvf_assets.attention.grid import grid_place
from olvf_assets.attention.tables import GRADCAM_SECTION_MEANS
from olvf_assets.cohort.agreement import reader_agreement
from olvf_assets.cohort.baseline import baseline_characteristics
from olvf_assets.cohort.rehearsal import rehearse
from olvf_assets.evaluation.metrics import rates
from olvf_assets.evaluation.tables import TEST_METRICS
from olvf_assets.orchestration.graph import all_tables
from olvf_assets.orchestration.sql_models import load_models
from olvf_assets.profiles import Profile, load_profile
from olvf_assets.reporting.tables import THESIS_COMPARISON
from olvf_assets.reporting.thesis_comparison import Study, thesis_comparison
from olvf_assets.reporting.thesis_figures import printed_figures, section_means

THESIS = load_profile("thesis")
# Counts pooled over the five folds (5 x 640), which give Table 6: TP, TN by class; positives and negatives.
POOLED = {"normal": (1104, 1871, 228, 412), "old": (807, 2009, 204, 436), "fresh": (778, 2008, 208, 432)}
COUNTED = {
    "detector_copies": ("subset", {"train": 5728, "validation": 1432}),
    "balanced_test_set": ("label", {"normal": 228, "old": 204, "fresh": 208}),
    "balanced_training_set": ("label", {"normal": 2056, "old": 2432, "fresh": 2345}),
}


def study_of(profile: Profile) -> Study:
    return Study(profile.protocols, set(profile.phantom.institutions), list(profile.classification.networks.values()))


def metrics() -> pl.DataFrame:
    """Return `test_metrics` of protocol thesis with the values that the pooled counts give."""
    rows = []
    for name, (tp, tn, positives, negatives) in POOLED.items():
        found = rates(tp, 5 * negatives - tn, 5 * positives - tp, tn)
        rows += [(name, metric, float(value)) for metric, value in found.items()]
    table = pl.DataFrame(rows, schema=["positive_class", "metric", "value"], orient="row")
    whole = table.group_by("metric").agg(pl.col("value").mean(), positive_class=pl.lit("all"))
    return pl.concat([table, whole.select(table.columns)]).with_columns(
        protocol=pl.lit("thesis"),
        institution=pl.lit("institution_1"),
        model=pl.lit("ensemble"),
        fold=pl.lit("mean"),
        ci_method=pl.lit("wald"),
        ci_low=pl.lit(float("nan")),
        ci_high=pl.lit(float("nan")),
    )


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    """Return what a run at the thesis's scale with the thesis's results would hand over; protocol thesis only."""
    comparison = next(each for each in all_tables() if each.name == "thesis_comparison")
    schemas = {each.name: each.schema for each in all_tables() if each.schema is not None}
    made = {name: schemas[name].to_frame() for name in comparison.reads if name in schemas}
    sites = [
        rehearse(key, THESIS.phantom, THESIS.intake, THESIS.seed, load_models())
        for key in ("institution_1", "institution_2")
    ]
    for name in ("participant_flow", "consensus_queue", "institutions"):
        made[name] = pl.concat(site[name] for site in sites)
    crops = pl.concat(site["vertebra_crops"] for site in sites)
    made["vertebra_crops"] = pl.concat(crops.with_columns(protocol=pl.lit(name)) for name in ("patient", "thesis"))
    made["reader_agreement"] = reader_agreement(
        sites[0]["reader_labels"], THESIS.cohort.model_copy(update={"bootstrap_draws": 200}), THESIS.seed
    )
    read = ("subjects", "cohort_vertebrae", "consensus_labels", "films")
    made["baseline_characteristics"] = pl.concat(
        baseline_characteristics(*(site[name] for name in read)) for site in sites
    )
    for name, (column, counts) in COUNTED.items():
        values = [value for value, n in counts.items() for _ in range(n)]
        made[name] = pl.DataFrame({"protocol": "thesis", column: values})
    held_out = {"normal": 228, "old": 68, "fresh": 52}
    made["splits"] = pl.DataFrame(
        {"protocol": "thesis", "role": "test", "label": [label for label, n in held_out.items() for _ in range(n)]}
    )
    made["detector_answers"] = pl.DataFrame(
        {"protocol": "thesis", "dataset": "external", "institution": "institution_2",
         "film_id": [f"F{number}" for number in range(80)]}
    )  # fmt: skip
    made["detector_model"] = pl.DataFrame({"protocol": ["thesis"], "model": ["yolov5x"]})
    made["test_metrics"] = metrics()
    made["external_metrics"] = TEST_METRICS.to_frame()
    sections = [
        ("thesis", name, "red", number, *grid_place(number), 100, value)
        for name, grid in section_means().items()
        for number, value in enumerate((value for row in grid for value in row), start=1)
    ]
    made["gradcam_section_means"] = pl.DataFrame(sections, schema=GRADCAM_SECTION_MEANS, orient="row")
    return made


@pytest.fixture(scope="module")
def compared(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    return thesis_comparison(tables, study_of(THESIS))


def test_every_printed_figure_has_one_row(compared: pl.DataFrame) -> None:
    assert compared.schema == THESIS_COMPARISON
    assert compared.height == len(printed_figures()) == 153
    assert compared.select(pl.struct("group", "figure").is_duplicated().any()).item() is False


@pytest.mark.parametrize("group", ["flow", "crops_by_level", "baseline", "data", "consensus"])
def test_the_synthetic_cohort_of_the_thesis_gives_its_figures_again(group: str, compared: pl.DataFrame) -> None:
    rows = compared.filter(group=group)
    assert rows.filter(pl.col("verdict_thesis") != "inside").rows(named=True) == []
    if group != "data":
        assert rows["value_patient"].equals(rows["value_thesis"], check_names=False)


def test_the_kappas_are_inside_under_one_weighting(compared: pl.DataFrame) -> None:
    linear = compared.filter(pl.col("group") == "readers", pl.col("figure").str.ends_with("linear"))
    assert linear["verdict_thesis"].to_list() == ["inside"] * 3


def test_another_split_is_not_held_against_the_counts_of_the_thesis(compared: pl.DataFrame) -> None:
    data = compared.filter(group="data")
    assert set(data["verdict_patient"]) == {"not_comparable"}
    assert data["reason_patient"].str.contains("split by patient, not by picture").all()


def test_the_pooled_counts_give_table_6_to_the_printed_digit(compared: pl.DataFrame) -> None:
    rates_of_table_6 = compared.filter(pl.col("figure").str.starts_with("test/"), ~pl.col("figure").str.contains("auc"))
    assert rates_of_table_6.height == 20
    whole = pl.col("figure").str.ends_with("/all")  # the thesis averaged values that were rounded before
    assert rates_of_table_6.filter(~whole)["difference_thesis"].abs().max() <= 0.0005
    assert rates_of_table_6.filter(whole)["difference_thesis"].abs().max() < 0.0006
    assert set(rates_of_table_6["reason_thesis"]) == {"synthetic films"}


def test_real_films_are_comparable(tables: Mapping[str, pl.DataFrame]) -> None:
    rows = thesis_comparison(tables, study_of(THESIS)._replace(synthetic=set()))
    table_6 = rows.filter(pl.col("figure").str.starts_with("test/"), ~pl.col("figure").str.contains("auc|/all"))
    assert set(table_6["verdict_thesis"]) == {"inside"}
    assert rows.filter(figure="external/auc/all")["reason_thesis"].item() == "this run has no such figure"
    detector = rows.filter(group="detector")["reason_thesis"]
    assert detector.str.contains("yolov5x without anchors").all()


def test_table_7_gives_the_statements_of_figure_9(compared: pl.DataFrame) -> None:
    attention = compared.filter(group="attention")
    assert attention["value_thesis"].to_list() == attention["thesis"].to_list() == [1, 1, 1, 3, 3, 3, 1, 1, 1]


def test_a_small_run_of_one_protocol_says_why_nothing_can_be_held_against_the_thesis(
    tables: Mapping[str, pl.DataFrame],
) -> None:
    small = dict(tables) | {"participant_flow": tables["participant_flow"].filter(state="used")}
    rows = thesis_comparison(small, study_of(load_profile("ci")))
    assert set(rows["reason_thesis"]) == {"protocol thesis was not run"}
    assert set(rows["verdict_patient"]) == {"not_comparable"}
    flow = rows.filter(group="flow", figure="institution_1/patients_used").row(0, named=True)
    assert flow["value_patient"] == 415
    assert flow["reason_patient"] == "a cohort of 415 and 137 patients, not 523 and 140"
    classification = rows.filter(group="classification")["reason_patient"]
    assert classification.str.contains("synthetic films; slimmed networks; no ImageNet weights").all()
