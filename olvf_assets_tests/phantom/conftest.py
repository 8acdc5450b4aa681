import pytest

from olvf_assets.phantom.settings import Detector, PhantomSettings, SyntheticInstitution


def make_site(**changes: object) -> SyntheticInstitution:
    """A hospital of eight patients on coarse pixels, quick to render."""
    numbers: dict[str, object] = {
        "patients_normal": 1,
        "patients_fresh": 3,
        "patients_old": 2,
        "excluded_fresh": {"severe_crush": 1},
        "excluded_old": {"foreign_substance": 1},
        "images": {
            "patients_fresh": 3,
            "patients_old": 2,
            "films": 8,
            "thoracic_films": 1,
            "normal": {"L1": 3, "L2": 4, "L3": 5, "L4": 4, "L5": 4},
            "old": {"L1": 2, "L2": 2, "L3": 1, "L4": 1, "L5": 1},
            "fresh": {"L1": 2, "L2": 1, "L3": 1, "L4": 1, "L5": 0},
        },
        "reread_patients": 2,
        "pixel_mm": 0.6,
    }
    return SyntheticInstitution.model_validate({**numbers, **changes})


def make_external(**changes: object) -> SyntheticInstitution:
    numbers: dict[str, object] = {
        "name": "Institution 2 (synthetic)",
        "role": "external",
        "images": {
            "patients_fresh": 3,
            "patients_old": 2,
            "films": 5,
            "thoracic_films": 0,
            "normal": {"L1": 2, "L2": 3, "L3": 3, "L4": 3, "L5": 3},
            "old": {"L1": 2, "L2": 1, "L3": 1, "L4": 1, "L5": 1},
            "fresh": {"L1": 1, "L2": 1, "L3": 1, "L4": 0, "L5": 0},
        },
        "plate_mm": (355.6, 431.8),
        "kvp": 90.0,
        "sid_mm": 1300.0,
        "spine_to_detector_mm": 215.0,
        "detectors": (Detector(name="BENEO", scintillator="a-Se", grid="10:1", blur_mm=0.05, noise_blur_mm=0.0),),
        "monochrome1_share": 1.0,
        "quanta": 110.0,
        "modality": "CR",
    }
    return make_site(**{**numbers, **changes})


@pytest.fixture(scope="session")
def tiny() -> PhantomSettings:
    return PhantomSettings(institutions={"institution_1": make_site(), "institution_2": make_external()})


@pytest.fixture(scope="session")
def full_scale() -> PhantomSettings:
    return PhantomSettings(institutions={"institution_1": SyntheticInstitution()})
