"""Profiles: every number that a study may vary, in one frozen schema.

What lives here: the schema's composition from the rooms' settings, and reading `ci.yaml`, `demo.yaml`, `thesis.yaml`.
What does not: what a number means (each room's `settings.py`).
"""

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError, field_validator

from olvf_assets.attention.settings import AttentionSettings
from olvf_assets.classification.settings import ClassificationSettings
from olvf_assets.cohort.settings import CohortSettings
from olvf_assets.crops.settings import CropSettings
from olvf_assets.detection.settings import DetectionSettings
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.settings import Settings
from olvf_assets.foundation.vocabulary import Protocol
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.phantom.settings import PhantomSettings
from olvf_assets.reporting.settings import ReportingSettings

FOLDER = Path(__file__).parent
DEFAULT_PROFILE = "demo"
TRAIN_WITHOUT_VARIABLE = "OLVF_TRAIN_WITHOUT"


class ProfileError(OlvfError):
    """A profile is missing or says something that its schema does not know."""


class Profile(Settings):
    """One study.

    Attributes:
        name: the file's name without `.yaml`.
        seed: the root of every random choice.
        protocols: how the data are split, each way from the detector to the last table; `patient` is always among them.
        train_without: development hospitals that nothing is learnt from and that have no part in the split, whether
            they were stopped or not. `OLVF_TRAIN_WITHOUT` (names with commas between) adds to them.
    """

    name: str
    seed: int
    protocols: tuple[Protocol, ...] = ("patient",)
    train_without: tuple[str, ...] = ()
    phantom: PhantomSettings
    intake: IntakeSettings
    cohort: CohortSettings
    detection: DetectionSettings
    crops: CropSettings
    classification: ClassificationSettings
    evaluation: EvaluationSettings
    attention: AttentionSettings
    reporting: ReportingSettings

    @field_validator("protocols")
    @classmethod
    def _honest_one_included(cls, protocols: tuple[Protocol, ...]) -> tuple[Protocol, ...]:
        if "patient" not in protocols or len(set(protocols)) < len(protocols):
            raise ValueError("name each protocol once, and patient among them: it is what the others are held against")
        return protocols


def profile_name() -> str:
    """Return the profile asked for by `OLVF_PROFILE`, by default `demo`."""
    return os.environ.get("OLVF_PROFILE") or DEFAULT_PROFILE


def load_profile(name: str, folder: Path = FOLDER) -> Profile:
    """Return the profile kept in `<name>.yaml`; what it does not say is said by the profile that it `extends`, if any.

    Raises:
        ProfileError: no such file, not YAML, or a key or value that the schema does not allow; names file and key.
    """
    path = folder / f"{name}.yaml"
    try:
        profile = Profile.model_validate({**_settings(name, folder), "name": name})
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']} (found {fault['input']!r})" for fault in error.errors()
        )
        raise ProfileError(f"{path}: {faults}") from error
    named = [key.strip() for key in os.environ.get(TRAIN_WITHOUT_VARIABLE, "").split(",")]
    without = sorted({*profile.train_without, *filter(None, named)})
    return profile.model_copy(update={"train_without": tuple(without)})


def _settings(name: str, folder: Path, below: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the mapping of a profile's file over that of the profile it extends; `below`: who extends this one."""
    path = folder / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(each.stem for each in folder.glob("*.yaml")))
        asked = f"{below[-1]}.yaml: extends: {name}" if below else f"OLVF_PROFILE={name}"
        raise ProfileError(f"{asked}: there is no {path.name}; choose one of: {known}")
    try:
        settings = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ProfileError(f"{path}: not YAML: {error}") from error
    if not isinstance(settings, dict):
        raise ProfileError(f"{path}: holds no settings; begin with `extends: demo` and say what differs")
    base = settings.pop("extends", None)
    if base is None:
        return settings
    if base in (*below, name):
        raise ProfileError(f"{path}: extends: {base}, which extends {name} itself; name a profile that stands alone")
    return _laid_over(_settings(base, folder, (*below, name)), settings)


def _laid_over(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes`: mappings are merged key by key, unless the new one is empty; else it replaces."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _laid_over(old, value) if isinstance(old, dict) and isinstance(value, dict) and value else value
    return merged
