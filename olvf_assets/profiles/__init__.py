"""Profiles: every number that a study may vary, in one frozen schema.

What lives here: the schema's composition from the rooms' settings, and reading `ci.yaml`, `demo.yaml`, `thesis.yaml`.
What does not: what a number means (each room's `settings.py`).
"""

import os
from pathlib import Path

import yaml
from pydantic import ValidationError

from olvf_assets.attention.settings import AttentionSettings
from olvf_assets.classification.settings import ClassificationSettings
from olvf_assets.cohort.settings import CohortSettings
from olvf_assets.crops.settings import CropSettings
from olvf_assets.detection.settings import DetectionSettings
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.settings import Settings
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.phantom.settings import PhantomSettings
from olvf_assets.reporting.settings import ReportingSettings

FOLDER = Path(__file__).parent
DEFAULT_PROFILE = "demo"


class ProfileError(OlvfError):
    """A profile is missing or says something that its schema does not know."""


class Profile(Settings):
    """One study.

    Attributes:
        name: the file's name without `.yaml`.
        seed: the root of every random choice.
    """

    name: str
    seed: int
    phantom: PhantomSettings
    intake: IntakeSettings
    cohort: CohortSettings
    detection: DetectionSettings
    crops: CropSettings
    classification: ClassificationSettings
    evaluation: EvaluationSettings
    attention: AttentionSettings
    reporting: ReportingSettings


def profile_name() -> str:
    """Return the profile asked for by `OLVF_PROFILE`, by default `demo`."""
    return os.environ.get("OLVF_PROFILE") or DEFAULT_PROFILE


def load_profile(name: str, folder: Path = FOLDER) -> Profile:
    """Return the profile kept in `<name>.yaml`.

    Raises:
        ProfileError: no such file, not YAML, or a key or value that the schema does not allow; names file and key.
    """
    path = folder / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(each.stem for each in folder.glob("*.yaml")))
        raise ProfileError(f"OLVF_PROFILE={name}: there is no {path.name}; choose one of: {known}")
    try:
        return Profile.model_validate({"name": name, **yaml.safe_load(path.read_text())})
    except yaml.YAMLError as error:
        raise ProfileError(f"{path}: not YAML: {error}") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']} (found {fault['input']!r})" for fault in error.errors()
        )
        raise ProfileError(f"{path}: {faults}") from error
