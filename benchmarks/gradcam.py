"""Grad-CAM and its statistics beside what a user would pick instead, as ratios of one run.

Maps of all three classes, full-size networks, CPU, the same batch: pictures per second of `class_maps` over those of
the `grad-cam` package (`cam_over_grad_cam_<architecture>`, higher is better), and `largest_difference` of the maps as a
share of the highest value. The table `gradcam_statistics`: seconds over those of scipy's kruskal and scikit-posthocs'
posthoc_dscf called for each section on arrays made beforehand (`statistics_over_posthocs`, lower is better), and the
`largest_p_difference`.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import torch

from olvf_assets.attention.class_maps import class_maps
from olvf_assets.attention.statistics import gradcam_statistics
from olvf_assets.attention.tables import GRADCAM_GRIDS, SOURCES
from olvf_assets.classification.networks import FractureClassifier, build
from olvf_assets.classification.settings import Architecture, NetworkSettings
from olvf_assets.foundation.vocabulary import CLASSES

NETWORKS: dict[Architecture, tuple[str, str]] = {  # timm's name, last layer with places
    "resnet50": ("resnet50", "layer4"),
    "densenet161": ("densenet161", "features"),
    "resnext50": ("resnext50_32x4d", "layer4"),
}
HEIGHT, WIDTH = 140, 166

Groups = dict[tuple[str, str, int], list[np.ndarray]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer pictures and repetitions; under a minute")
    parser.add_argument("--json", action="store_true", help="print one flat object as the last line")
    asked = parser.parse_args()
    figures = measure(pictures=2 if asked.quick else 16, repetitions=2 if asked.quick else 5)
    for name, value in figures.items():
        print(f"{name:<36}{value:>12.4g}")
    if asked.json:
        print(json.dumps(figures))


def measure(pictures: int, repetitions: int) -> dict[str, float]:
    """Return all figures; the best of `repetitions` counts, both sides taking turns."""
    figures, differences = {}, []
    for architecture, (timm_name, last_layer) in NETWORKS.items():
        settings = NetworkSettings(model=timm_name, learning_rate=0.01)
        model = build(architecture, settings, seed=1).eval()
        pixels = np.random.default_rng(1).integers(0, 256, (pictures, HEIGHT, WIDTH)).astype(np.uint8)
        (own_s, ours), (other_s, theirs) = in_turns(
            repetitions,
            lambda model=model, pixels=pixels: class_maps(model, pixels).maps,
            lambda model=model, layer=last_layer, pixels=pixels: grad_cam_maps(model, layer, pixels),
        )
        differences.append(np.abs(ours - theirs).max() / theirs.max())
        figures[f"cam_over_grad_cam_{architecture}"] = round(other_s / own_s, 2)
        figures[f"cam_images_per_s_{architecture}"] = round(pictures / own_s, 2)
    figures["largest_difference"] = float(max(differences))
    grids = made_up_grids()
    groups = groups_by_section(grids)
    (own_s, own), (other_s, other) = in_turns(repetitions, lambda: gradcam_statistics(grids), lambda: posthocs(groups))
    figures["statistics_over_posthocs"] = round(own_s / other_s, 3)
    figures["statistics_s"] = round(own_s, 3)
    figures["largest_p_difference"] = largest_p_difference(own, other)
    return figures


def in_turns(repetitions: int, *functions: Callable[[], Any]) -> list[tuple[float, Any]]:
    """Return the shortest time in seconds and the result of each function, called in turns."""
    best: list[tuple[float, Any]] = [(float("inf"), None) for _ in functions]
    for _ in range(repetitions):
        for number, function in enumerate(functions):
            start = time.perf_counter()
            result = function()
            best[number] = (min(best[number][0], time.perf_counter() - start), result)
    return best


def grad_cam_maps(model: FractureClassifier, last_layer: str, pixels: np.ndarray) -> np.ndarray:
    """Return what the grad-cam package finds before it normalises: float32, (pictures, classes, rows, columns)."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    batch = torch.from_numpy(pixels).float()[:, None]
    layer = getattr(model.network, last_layer)
    maps = []
    with GradCAM(model=model, target_layers=[layer]) as package:
        for index in range(len(CLASSES)):
            targets = [ClassifierOutputTarget(index)] * len(pixels)
            package(input_tensor=batch, targets=targets)
            caught = package.activations_and_grads
            activations, gradients = caught.activations[0].numpy(), caught.gradients[0].numpy()
            maps.append(package.get_cam_image(batch, layer, targets, activations, gradients))
    return np.maximum(np.stack(maps, axis=1), 0)


def made_up_grids() -> pl.DataFrame:
    """Return `gradcam_grids` of 640 images, as many as the thesis tests, five to a patient; red in whole numbers."""
    rng = np.random.default_rng(2)
    predicted = rng.permutation(np.repeat(CLASSES, (228, 204, 208)))
    shift = {"normal": 0.0, "old": 4.0, "fresh": 8.0}
    values = rng.normal(120 + np.array([shift[name] for name in predicted])[:, None, None], 30, (640, len(SOURCES), 48))
    values[:, 0] = values[:, 0].round()
    index = np.indices(values.shape).reshape(3, -1)
    names = {"sample_id": [f"S{n:04d}" for n in range(640)], "patient_id": [f"P{n // 5:04d}" for n in range(640)]}
    return pl.DataFrame(
        {
            "protocol": "patient",
            "architecture": "densenet161",
            "fold": 5,
            "sample_id": np.array(names["sample_id"])[index[0]],
            "crop_id": np.array(names["sample_id"])[index[0]],
            "patient_id": np.array(names["patient_id"])[index[0]],
            "label": predicted[index[0]],
            "predicted": predicted[index[0]],
            "section": index[2] + 1,
            "source": np.array(SOURCES)[index[1]],
            "value": values.ravel(),
        },
        schema=GRADCAM_GRIDS,
    )


def groups_by_section(grids: pl.DataFrame) -> Groups:
    """Return the values of each class, of both units: (unit, source, section) to a float64 array per class."""
    by_patient = grids.group_by("patient_id", "predicted", "source", "section").agg(pl.col("value").mean())
    return {
        (unit, source, section): [part.filter(pl.col("predicted") == name)["value"].to_numpy() for name in CLASSES]
        for unit, values in (("image", grids), ("patient", by_patient))
        for (source, section), part in values.group_by("source", "section")
    }


def posthocs(groups: Groups) -> dict[tuple[str, str, int, str], float]:
    """Return the p-values section by section: (unit, source, section, comparison) to p."""
    from scikit_posthocs import posthoc_dscf
    from scipy.stats import kruskal

    found = {}
    for key, values in groups.items():
        found[*key, "kruskal_wallis"] = float(kruskal(*values).pvalue)
        pairs = posthoc_dscf(values).to_numpy()
        for first, second in ((0, 1), (0, 2), (1, 2)):
            found[*key, f"{CLASSES[first]}_{CLASSES[second]}"] = float(pairs[first, second])
    return found


def largest_p_difference(table: pl.DataFrame, theirs: dict[tuple[str, str, int, str], float]) -> float:
    """Return the largest absolute difference of a p-value."""
    rows = table.select("unit", "source", "section", "comparison", "p_value").iter_rows()
    return max(abs(p_value - theirs[tuple(key)]) for *key, p_value in rows)


if __name__ == "__main__":
    main()
