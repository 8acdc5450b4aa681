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
        "functional_share": 0.3,
        "thoracic_share": 0.2,
        "dropped_crop_share": 0.1,
        "reread_patients": 2,
        "pixel_mm": 0.6,
    }
    return SyntheticInstitution.model_validate({**numbers, **changes})


def make_external(**changes: object) -> SyntheticInstitution:
    numbers: dict[str, object] = {
        "name": "Institution 2 (synthetic)",
        "role": "external",
        "functional_share": 0.0,
        "thoracic_share": 0.0,
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
