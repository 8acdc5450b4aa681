"""Settings of the evaluation room: how intervals are drawn and how fine the curves are.

What lives here: `EvaluationSettings`. What does not: the metrics' names, which are a contract (`tables.py`).
"""

from typing import Annotated

from pydantic import Field

from olvf_assets.foundation.settings import Settings


class EvaluationSettings(Settings):
    """Numbers of the evaluation that a study may vary.

    Attributes:
        draws: bootstrap draws of patients.
        confidence: coverage of every interval, 0.95 for the 95 % interval.
        min_defined_share: share of draws in which a figure must be defined (a resample may miss a class altogether)
            for its bootstrap interval to be given; below it the interval is NaN.
        roc_points: most points kept of one ROC curve.
        probability_tolerance: how far three class probabilities may be from the sum 1 (they are stored as float32).
        age_band_edges_years: where a new age band begins; two edges make three bands.
        calibration_bins: equal parts of 0 to 1 into which probabilities are sorted.
        decision_threshold_step, highest_decision_threshold: probabilities at which the decision curve is computed: the
            step, twice the step, ... up to the highest.
        near_duplicate_correlation: from which correlation of their thumbnails on pictures of two patients are taken for
            one picture. Of the demo's films and crops no two patients' reach 0.96; the same picture as JPEG, at half
            size, in another window or equalised keeps 0.98.
        target_half_width: of the sensitivity's interval, to which `fresh_fractures_needed` counts.
        target_sensitivities: for each of them the operating point of class `fresh` is chosen on the validation folds.
    """

    draws: int = Field(ge=1)
    confidence: float = Field(gt=0, lt=1)
    min_defined_share: float = Field(ge=0, le=1)
    roc_points: int = Field(ge=3)
    probability_tolerance: float = Field(gt=0)
    age_band_edges_years: tuple[int, ...] = (65, 75, 85)
    calibration_bins: int = Field(default=10, ge=2)
    decision_threshold_step: float = Field(default=0.01, gt=0, lt=1)
    highest_decision_threshold: float = Field(default=0.6, gt=0, lt=1)
    target_half_width: float = Field(default=0.05, gt=0, lt=0.5)
    target_sensitivities: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.8, 0.9, 0.95)
    near_duplicate_correlation: float = Field(default=0.98, gt=0, le=1)
