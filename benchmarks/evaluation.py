"""How fast 2,000 patient-bootstrap draws of every metric are, against the loop that one would write with scikit-learn.

The size is that of the thesis's external set: 662 crops of 137 patients, three classes, one model. The loop copies the
drawn patients' samples and asks scikit-learn for a confusion matrix and three areas a draw; it is timed on some of the
draws and scaled to all of them, since its draws cost the same. Both see the same draws, and their intervals over those
draws are compared.
"""

import argparse
import json
import time

import numpy as np
import polars as pl
from sklearn.metrics import confusion_matrix, roc_auc_score

from olvf_assets.evaluation.intervals import patient_weights
from olvf_assets.evaluation.metric_tables import patient_bootstrap
from olvf_assets.evaluation.metrics import rates
from olvf_assets.evaluation.predictions import ScoredSamples
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.tables import METRICS
from olvf_assets.foundation.vocabulary import CLASSES

CROPS = (436, 135, 91)
PATIENTS = 137
DRAWS = 2000
SEED = 7
REPEATS = 5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="time 50 draws of the loop instead of 400")
    parser.add_argument("--json", action="store_true", help="print one flat object as the last line")
    asked = parser.parse_args()
    figures = measure(loop_draws=50 if asked.quick else 400)
    for name, value in figures.items():
        print(f"{name:<32}{value:>12}")
    if asked.json:
        print(json.dumps(figures))


def measure(loop_draws: int) -> dict[str, float]:
    """Return seconds of both, their ratio, and the largest distance of the intervals over the draws both made."""
    samples = made_up_samples()
    patient_bootstrap(samples, samples.means(), settings(50), SEED)  # imports scipy
    own = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        patient_bootstrap(samples, samples.means(), settings(DRAWS), SEED)
        own.append(time.perf_counter() - start)
    start = time.perf_counter()
    drawn = sklearn_loop(samples, loop_draws)
    loop_s = (time.perf_counter() - start) * DRAWS / loop_draws
    _, low, high = patient_bootstrap(samples, samples.means(), settings(loop_draws), SEED)
    expected = np.percentile(drawn, [2.5, 97.5], axis=0)
    return {
        "draws": DRAWS,
        "loop_draws_timed": loop_draws,
        "bootstrap_s": round(float(np.median(own)), 4),
        "sklearn_loop_s_scaled": round(loop_s, 2),
        "bootstrap_over_sklearn_loop": round(float(np.median(own)) / loop_s, 5),
        "largest_difference": float(np.abs(np.stack([low[0, :3], high[0, :3]]) - expected).max()),
    }


def sklearn_loop(samples: ScoredSamples, draws: int) -> np.ndarray:
    """Return float64 (draws, classes, metrics), one draw after the other."""
    p, predicted = samples.probabilities[0], samples.predicted[0]
    members = [np.flatnonzero(samples.patients == patient) for patient in range(samples.n_patients)]
    found = []
    for weights in patient_weights(samples.n_patients, draws, SEED):
        drawn = np.concatenate([members[patient] for patient, times in enumerate(weights) for _ in range(int(times))])
        labels = samples.labels[drawn]
        matrix = confusion_matrix(labels, predicted[drawn], labels=range(len(CLASSES)))
        by_class = []
        for c in range(len(CLASSES)):
            tp = matrix[c, c]
            fp, fn = matrix[:, c].sum() - tp, matrix[c].sum() - tp
            figures = rates(tp, fp, fn, matrix.sum() - tp - fp - fn)
            figures["auc"] = roc_auc_score(labels == c, p[drawn, c])
            by_class.append([figures[name] for name in METRICS])
        found.append(by_class)
    return np.array(found)


def made_up_samples() -> ScoredSamples:
    """Return one model's word on as many crops as the thesis's external set has."""
    generator = np.random.default_rng(SEED)
    patients = np.sort(np.append(np.arange(PATIENTS), generator.integers(0, PATIENTS, sum(CROPS) - PATIENTS)))
    labels = generator.permutation(np.repeat(range(len(CLASSES)), CROPS))
    logits = generator.normal(size=(labels.size, len(CLASSES))) + 1.5 * np.eye(len(CLASSES))[labels]
    weights = np.exp(logits)
    ids = [f"S{i:03d}" for i in range(labels.size)]
    return ScoredSamples(
        protocol="patient",
        dataset="external",
        institution="institution_2",
        models=(("ensemble_of_15", "mean"),),
        about=pl.DataFrame({"sample_id": ids, "crop_id": ids, "replica": 0}),
        patients=patients,
        labels=labels,
        probabilities=(weights / weights.sum(axis=1, keepdims=True))[None],
    )


def settings(draws: int) -> EvaluationSettings:
    """Return the settings of profile `thesis`, with so many draws."""
    return EvaluationSettings(
        draws=draws, confidence=0.95, min_defined_share=0.9, roc_points=200, probability_tolerance=1e-4
    )


if __name__ == "__main__":
    main()
