"""Settings of the room `cohort`: intervals of agreement, and how patients are split."""

from pydantic import Field

from olvf_assets.foundation.settings import Settings


class CohortSettings(Settings):
    """Numbers of the reader study and of the patient-level split."""

    bootstrap_draws: int = Field(default=2000, ge=100)
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    test_share: float = Field(default=0.15, gt=0.0, lt=0.5)
    folds: int = Field(default=5, ge=2)
    split_lot: int = Field(default=0, ge=0)  # which drawing of lots: another number draws all patients anew
