"""Base of every settings model.

What lives here: the frozen pydantic base. Each room keeps its own `settings.py`; `olvf_assets.profiles` composes them.
"""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen, and unknown keys are refused: a typo in a profile is an error, never a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")
