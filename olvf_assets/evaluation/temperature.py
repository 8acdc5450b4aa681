"""Temperature scaling, fitted on validation predictions and on nothing else.

What lives here: the fit (table `calibration_temperatures`) and probabilities with it and without. What does not: how
well calibrated they are (`calibration.py`).

After Guo et al., ICML 2017: softmax(log p / T). An ensemble's summed probabilities have no logits; their logarithms
stand in for them, which gives the same for a single network.
"""

from dataclasses import replace

import numpy as np
import polars as pl

from olvf_assets.evaluation.predictions import BrokenPredictionsError, ScoredSamples, validation_samples
from olvf_assets.evaluation.tables import CALIBRATION_TEMPERATURES

SMALLEST_PROBABILITY = 1e-12
LOWEST, HIGHEST = 0.05, 20.0  # of the temperatures searched


def calibration_temperatures(validation_predictions: pl.DataFrame) -> pl.DataFrame:
    """Return the temperature of each fold's ensemble, fitted on the crops that its networks were not trained on.

    `ensemble_of_15` has none: every crop outside the test set trained some of the fifteen.

    Raises:
        BrokenPredictionsError: see `predictions.validation_samples`.
    """
    rows = []
    for samples in validation_samples(validation_predictions):
        ((model, fold),) = samples.models
        probabilities = samples.probabilities[0]
        temperature = fitted_temperature(probabilities, samples.labels)
        rows.append(
            {
                "protocol": samples.protocol,
                "model": model,
                "fold": fold,
                "temperature": temperature,
                "log_loss_raw": log_loss(probabilities, samples.labels),
                "log_loss_scaled": log_loss(scaled(probabilities, temperature), samples.labels),
                "n_samples": samples.labels.size,
                "n_patients": samples.n_patients,
            }
        )
    return pl.DataFrame(rows, schema=CALIBRATION_TEMPERATURES)


def fitted_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature of the lowest log loss, from 0.05 (sharper) over 1 (as it is) to 20 (flatter).

    Args:
        probabilities: float64 (samples, classes).
        labels: int64 (samples,), the true class of each.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return log_loss(scaled(probabilities, float(np.exp(log_temperature))), labels)

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def scaled(probabilities: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """Return probabilities (..., classes) after division of their logarithms by `temperature` (broadcasts)."""
    from scipy.special import softmax

    return np.asarray(softmax(np.log(np.maximum(probabilities, SMALLEST_PROBABILITY)) / temperature, axis=-1))


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log probability (nats) of the true class; arguments as `fitted_temperature`."""
    of_label = probabilities[np.arange(labels.size), labels]
    return float(-np.log(np.maximum(of_label, SMALLEST_PROBABILITY)).mean())


def raw_and_scaled(samples: ScoredSamples, temperatures: pl.DataFrame) -> list[tuple[str, ScoredSamples]]:
    """Return the samples as (`raw`, all scorers) and (`temperature_scaled`, the scorers that have a temperature).

    Args:
        samples: what ensembles said.
        temperatures: table `calibration_temperatures`.

    Raises:
        BrokenPredictionsError: the ensemble of a fold has no temperature.
    """
    fitted = {
        (model, fold): value
        for protocol, model, fold, value in temperatures.select("protocol", "model", "fold", "temperature").iter_rows()
        if protocol == samples.protocol
    }
    ensemble = samples.of_model("ensemble")
    missing = [fold for model, fold in ensemble.models if (model, fold) not in fitted]
    if missing:
        raise BrokenPredictionsError(
            f"calibration_temperatures, protocol {samples.protocol}: none for the ensemble of fold "
            f"{', '.join(missing)}; materialise validation_predictions of all folds and calibration_temperatures again"
        )
    by_scorer = np.array([fitted[scorer] for scorer in ensemble.models])[:, None, None]
    return [
        ("raw", samples),
        ("temperature_scaled", replace(ensemble, probabilities=scaled(ensemble.probabilities, by_scorer))),
    ]
