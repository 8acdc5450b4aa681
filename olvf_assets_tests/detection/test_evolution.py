"""Evolution of hyper-parameters: mutation within bounds, resumed after any generation, nothing without being asked."""

import polars as pl
import pytest

from olvf_assets.detection import evolution
from olvf_assets.detection.copies import make_detector_copies
from olvf_assets.detection.evolution import GENES, chosen_settings, evolve_detector, mutated, own_values, with_values
from olvf_assets.detection.settings import DetectionSettings, EvolutionSettings
from olvf_assets.detection.tables import DETECTOR_EVOLUTION
from olvf_assets_tests.detection.drawn_films import draw_films, split_patients

SETTINGS = DetectionSettings(
    copies=1,
    image_px=64,
    model="yolov5n",
    weights="random",
    epochs=3,
    batch=2,
    nominal_batch=2,
    optimizer="AdamW",
    lr0=0.002,
    workers=1,
    device="cpu",
    evolution=EvolutionSettings(generations=2, epochs=1),
)


def generation(number: int, fitness: float, **values: float) -> dict[str, object]:
    return {"protocol": "patient", "generation": number, "fitness": fitness} | own_values(SETTINGS) | values


def test_generation_0_is_the_profile_s_own() -> None:
    parent, values = mutated([], SETTINGS, 1)
    assert parent is None
    assert values == own_values(SETTINGS)
    assert with_values(SETTINGS, values) == SETTINGS
    assert values["lr0"] == 0.002
    assert values["mosaic"] == SETTINGS.geometry.mosaic


def test_mutations_stay_within_bounds_change_something_and_hang_on_the_seed_alone() -> None:
    history = [generation(0, 0.4), generation(1, 0.6, lr0=0.0999, momentum=0.979, weight_decay=0.00099, lrf=0.99)]
    seen = set()
    for seed in range(200):
        parent, values = mutated(history, SETTINGS, seed)
        assert (parent, values) == mutated(history, SETTINGS, seed)
        assert all(gene.low <= values[name] <= gene.high for name, gene in GENES.items())
        assert values != {name: history[parent][name] for name in GENES}
        seen.add(parent)
    assert seen == {1}  # the worst of the best has next to no weight


def test_a_parent_is_one_of_the_best_five_and_the_fitter_the_oftener() -> None:
    history = [generation(number, fitness) for number, fitness in enumerate((0.1, 0.5, 0.2, 0.3, 0.4, 0.45, 0.05))]
    parents = pl.Series([mutated(history, SETTINGS, seed)[0] for seed in range(2000)])
    counts = dict(parents.value_counts().iter_rows())
    assert set(counts) <= {1, 2, 3, 4, 5}
    weights = {1: 0.3, 5: 0.25, 4: 0.2, 3: 0.1}  # fitness above the fifth best
    for number, weight in weights.items():
        assert counts[number] / 2000 == pytest.approx(weight / 0.85, abs=0.04)


@pytest.fixture
def copies(tmp_path):
    store, films, boxes = draw_films(tmp_path, {"institution_1": ["A", "B"]})
    return store, make_detector_copies(films, boxes, split_patients({"A": 1, "B": 2}), store, SETTINGS, 7)


def test_an_evolution_is_resumed_after_its_last_generation_and_feeds_training_only_when_asked(
    copies, monkeypatch
) -> None:
    store, pictures = copies
    lines: list[str] = []
    table = evolve_detector(pictures, store, SETTINGS, 7, report=lines.append)
    assert table.schema == DETECTOR_EVOLUTION
    assert table.select("generation", "parent").rows() == [(0, None), (1, 0)]
    assert table["fitness"].to_list() == pytest.approx((0.1 * table["map50"] + 0.9 * table["map50_95"]).to_list())
    assert table["weights_sha256"].n_unique() == 2
    assert [line[:27] for line in lines] == ["detector: generation 1/2: m", "detector: generation 2/2: m"]

    trained = []
    train = evolution.train_detector
    monkeypatch.setattr(evolution, "picture_answers", None)  # nothing is measured again
    monkeypatch.setattr(evolution, "train_detector", lambda *a, **k: trained.append(1) or train(*a, **k))
    one = SETTINGS.model_copy(update={"evolution": EvolutionSettings(generations=1, epochs=1)})
    assert evolve_detector(pictures, store, one, 7).equals(table.head(1))
    assert evolve_detector(pictures, store, SETTINGS, 7).equals(table)

    assert chosen_settings(SETTINGS, table, "patient") == (SETTINGS, None)
    best = table.sort("fitness", "generation", descending=[True, False]).row(0, named=True)
    used = SETTINGS.model_copy(update={"use_evolved": True})
    chosen, number = chosen_settings(used, table, "patient")
    assert number == best["generation"]
    assert own_values(chosen) == {name: best[name] for name in GENES}
    assert chosen.epochs == 3  # a generation's short training is not the detector's


def test_evolved_values_that_are_not_there_are_asked_for_by_name() -> None:
    used = SETTINGS.model_copy(update={"use_evolved": True})
    with pytest.raises(
        evolution.NothingEvolvedError, match=r"no generation of protocol thesis.*evolution\.generations"
    ):
        chosen_settings(used, DETECTOR_EVOLUTION.to_frame(), "thesis")


def test_no_generation_is_made_unless_the_profile_asks(copies) -> None:
    store, pictures = copies
    table = evolve_detector(pictures, store, DetectionSettings(), 7)
    assert table.is_empty()
    assert table.schema == DETECTOR_EVOLUTION
