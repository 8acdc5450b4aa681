"""The small network that looks at pictures: what it sees, what it answers, and how it is taught."""

import time

import numpy as np
import pytest

from olvf_assets.intake.pixels import picture_learning as learning
from olvf_assets.intake.pixels.picture_net import KINDS, SIDE_PX, PictureKind, answer, picture_kind, seen
from olvf_assets.intake.pixels.picture_views import kind_of_picture
from olvf_assets.storage.shipped import shipped_record, weights_file


def shades(seed: int = 1) -> np.ndarray:
    """Return a smooth picture with every grey value."""
    grain = np.random.default_rng(seed).random((8, 6))
    return (np.kron(grain, np.ones((20, 20))) * 200 + 20).astype(np.uint8)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.2])
def test_the_grey_curve_of_a_maker_does_not_count(gamma: float) -> None:
    picture = shades()
    bent = np.rint(255 * (picture / 255.0) ** gamma).astype(np.uint8)
    assert np.abs(seen(bent) - seen(picture)).mean() < 0.03
    assert seen(picture).shape == (SIDE_PX, SIDE_PX)
    assert -1 < seen(picture).min() < seen(picture).max() < 1


def test_a_picture_of_one_grey_is_all_in_the_middle() -> None:
    assert (seen(np.full((40, 30), 77, np.uint8)) == 0).all()


def test_numpy_answers_as_torch_does() -> None:
    torch = pytest.importorskip("torch")
    network, names = learning._untaught()
    network.eval()
    state = network.state_dict()
    weights = {f"{name}.{part}": state[f"{place}.{part}"].numpy() for place, name in names.items()
               for part in ("weight", "bias")}  # fmt: skip
    pictures = np.stack([seen(shades(seed)) for seed in range(5)])
    with torch.no_grad():
        expected = network(torch.from_numpy(pictures)[:, None]).numpy()
    np.testing.assert_allclose(answer(pictures, weights), expected, atol=1e-5)


def test_probabilities_sum_to_one_and_laterals_are_lumbar_and_thoracic_ones() -> None:
    kind = picture_kind(shades())
    assert sum(kind) == pytest.approx(1, abs=3e-4)
    assert kind.lateral == kind.lumbar + kind.thoracic
    assert PictureKind(0.5, 0.25, 0.125, 0.125).lateral == 0.75


def test_the_weights_that_ship_are_small_and_their_record_says_how_they_do_on_the_withheld_look() -> None:
    record = shipped_record("view")
    assert weights_file("view").stat().st_size < 1_500_000
    assert record["command"] == "python -m olvf_assets.commands.make_weights view"
    asked = record["asked"]
    assert min(asked["laterals"], asked["others"]) >= 80
    assert asked["laterals_taken_in"] >= 0.97
    assert asked["others_taken_in"] == 0
    assert asked["laterals_doubted"] <= 0.01
    assert abs(asked["said"] - asked["right"]) < 0.06
    assert 0.5 <= record["temperature"] < 10


def test_a_film_is_looked_at_in_milliseconds() -> None:
    film = np.kron(shades(), np.ones((15, 15), np.uint8))
    kind_of_picture(film, 0.15)
    took = []
    for _ in range(5):
        start = time.process_time()
        kind_of_picture(film, 0.15)
        took.append(time.process_time() - start)
    assert min(took) < 0.05


@pytest.mark.parametrize(
    ("shown", "kind"),
    [("neutral", "lumbar"), ("flexion", "lumbar"), ("thoracic", "thoracic"), ("chest", "frontal"), ("hip", "frontal"),
     ("limb", "other")],
)  # fmt: skip
def test_what_pictures_show_has_a_kind(shown: str, kind: str) -> None:
    assert learning.kind_of(shown) == kind


def test_junk_and_varied_pictures_keep_their_range() -> None:
    junk = learning.junk_pictures(10, 3)
    assert junk.pixels.shape == (10, 96, 96)
    assert set(junk.kinds) == {KINDS.index("other")}
    assert all(np.ptp(each) > 200 for each in junk.pixels)
    varied = learning.varied(junk.pixels[0], np.random.default_rng(1))
    assert varied.dtype == np.float32
    assert 0 <= varied.min() <= varied.max() <= 255
    both = learning.together(junk, junk)
    assert (len(both.pixels), len(both.kinds), len(both.shown)) == (20, 20, 20)


def test_it_learns_and_says_how_right_it_is() -> None:
    """Bright at the top, or bright at the bottom: two kinds that anyone can tell apart."""
    rng = np.random.default_rng(2)
    down = np.linspace(0, 200, 96)[:, None] + rng.normal(0, 5, (40, 96, 96))
    pixels = np.clip(np.concatenate([down, down[:, ::-1]]), 0, 255).astype(np.uint8)
    pictures = learning.Pictures(pixels, np.repeat([0, 2], 40), ["neutral"] * 40 + ["lumbar"] * 40)
    lines: list[str] = []
    weights = learning.learn(pictures, 8, 5, lines.append)
    assert len(lines) == 8
    judged = learning.judged(pictures, weights, 1.0)
    assert (judged["laterals"], judged["others"], judged["right"]) == (40, 40, 1.0)
    assert judged["others_taken_in"] == 0
    again = learning.learn(pictures, 8, 5, lines.append)
    np.testing.assert_array_equal(weights["layer_1.weight"], again["layer_1.weight"])


def test_a_network_that_is_too_sure_gets_a_temperature() -> None:
    kinds = np.array([0, 0, 0, 1])
    sure = np.tile(np.array([[10.0, 0.0, 0.0, 0.0]], np.float32), (4, 1))  # right three times of four
    temperature = learning.honest_temperature(sure, kinds)
    said = 1 / (1 + 3 * np.exp(-10 / temperature))
    assert said == pytest.approx(0.75, abs=0.08)
    right = np.eye(4, dtype=np.float32)[kinds] * 10
    assert learning.honest_temperature(right, kinds) == 0.5
