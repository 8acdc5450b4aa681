"""Every number of the synthetic hospitals that a study may vary.

What lives here: how many patients of which kind, what their films are made with, how hard the fractures are to see, how
often readers err. What does not: numbers of anatomy that no study varies (they stand beside the code that uses them).
Defaults are those of Institution 1 of the thesis (doi 10.14943/doctoral.k15820, Tables 1, 2 and 5).
"""

from typing import Literal

from pydantic import Field, model_validator

from olvf_assets.foundation.settings import Settings
from olvf_assets.foundation.vocabulary import LEVELS, Level

ExclusionReason = Literal[
    "severe_crush", "foreign_substance", "poor_positioning", "poor_image_quality", "onset_unknown", "pathological"
]
Share = float
LookName = Literal["plain", "wide", "withheld"]


class Detector(Settings):
    """An image receptor as its DICOM header names it.

    Attributes:
        blur_mm: standard deviation of the point spread function in the detector plane.
        noise_blur_mm: standard deviation of the noise's correlation (0 for direct conversion).
    """

    name: str
    manufacturer: str = "FUJIFILM Corporation"
    scintillator: Literal["CsI", "GOS", "a-Se"] = "CsI"
    grid: str = "8:1"
    blur_mm: float = 0.18
    noise_blur_mm: float = 0.06


class ImageCounts(Settings):
    """Films and vertebra images of the used patients of one institution; a smaller hospital gets its share of them.

    Attributes:
        patients_fresh, patients_old: the used patients that the counts are about, by their leading fracture.
        films: lateral films of these patients. Each patient has a neutral one; the others are thoracic laterals and
            pairs of flexion and extension.
        thoracic_films: of `films`, thoracic laterals; their field ends below L3.
        normal, old, fresh: usable vertebra images by level. What is missing to one image a film and level was dropped
            (exclusion reason 2), the vertebrae outside the thoracic laterals included.
        old_beside_fresh: share of the images of old fractures that belong to patients with a fresh one (our guess).
    """

    patients_fresh: int = Field(default=280, ge=1)
    patients_old: int = Field(default=135, ge=1)
    films: int = Field(default=716, ge=1)
    thoracic_films: int = Field(default=21, ge=0)
    normal: dict[Level, int] = Field(default={"L1": 322, "L2": 467, "L3": 464, "L4": 486, "L5": 545})
    old: dict[Level, int] = Field(default={"L1": 211, "L2": 124, "L3": 131, "L4": 129, "L5": 81})
    fresh: dict[Level, int] = Field(default={"L1": 175, "L2": 118, "L3": 106, "L4": 76, "L5": 46})
    old_beside_fresh: Share = Field(default=0.47, ge=0, le=1)

    @property
    def pairs(self) -> int:
        """Return the number of patients with flexion and extension films."""
        return (self.films - self.patients_fresh - self.patients_old - self.thoracic_films) // 2

    @model_validator(mode="after")
    def _images_fit_the_films(self) -> "ImageCounts":
        if any(set(levels) != set(LEVELS) for levels in (self.normal, self.old, self.fresh)):
            raise ValueError(f"normal, old and fresh each need a count for {', '.join(LEVELS)}")
        for level in LEVELS:
            if (usable := self.normal[level] + self.old[level] + self.fresh[level]) > self.films:
                raise ValueError(f"{usable} usable images of {level} cannot be on {self.films} films")
        least = self.patients_fresh + self.patients_old + self.thoracic_films
        if self.films < least or (self.films - least) % 2:
            raise ValueError(f"films must be {least} (a neutral film each, thoracic laterals) and pairs beyond")
        return self


class ReaderAgreement(Settings):
    """How well the readers agree (met by quota) and what they mistake for what (relative chances).

    Attributes:
        kappa_inter: weighted kappa (linear weights) between the readers' first readings.
        kappa_intra: the same of each reader's second reading with the first.
        consensus_share: share of patients with at least one vertebra that the readers call differently.
        normal_as_fractured, fresh_missed, old_missed: chance to overcall, or to call a fracture normal.
        age_confused: chance to call a fresh fracture old or an old one fresh.
    """

    kappa_inter: float = Field(default=0.801, gt=0, le=1)
    kappa_intra: tuple[float, float] = (0.821, 0.861)
    consensus_share: Share = Field(default=141 / 523, ge=0, le=1)
    normal_as_fractured: Share = 0.018
    fresh_missed: Share = 0.07
    old_missed: Share = 0.07
    age_confused: Share = 0.06


class SyntheticInstitution(Settings):
    """One synthetic hospital.

    Attributes:
        patients_normal: patients whose five lumbar vertebrae are all normal (the cohort leaves them out).
        patients_fresh, patients_old: patients who stay in, by their leading fracture.
        excluded_fresh, excluded_old: further patients whose only fracture meets an exclusion reason, by reason.
        pathological_beside: of `patients_fresh`, how many also have a vertebra fractured by tumour.
        images: films and vertebra images of the used patients; scaled to `patients_fresh` and `patients_old`.
        age_fresh, age_old: mean and standard deviation, years.
        early_share: share of fresh patients with a film within 14 days of onset.
        mri_delay_days: mean and standard deviation of MRI after film, fresh patients.
        reread_patients: how many patients both readers read twice. readers: how well they agree.
        plate_mm: width and height of the detector plate. pixel_mm: its pixel pitch.
        spine_to_detector_mm: mean distance of the spine's midline from the detector; with `sid_mm` it magnifies.
        detectors: used in turn by chance.
        modality: SOP class of the films: CR image storage or digital X-ray for presentation.
        monochrome1_share: share of films stored with inverted grey scale.
        quanta: detected X-ray quanta per pixel behind the thickest part of a mean patient; fewer is noisier.
        scatter: scattered over primary radiation behind the grid, mean patient.
        body_width_mm: mean thickness of the trunk along the beam.
        edge_enhancement, range_compression, contrast: the maker's image processing.
        collimated_share: share of films with visible collimation margins.
        sign_factor, overlap_factor: multiply the study's `sign_strength` and `overlap` here.
        osteophyte_share: share of normal vertebrae with osteophytes.
        gas: relative amount of bowel gas.
        look: `plain`: all films as set here, the lumbar spine well in the field. `wide`: each film has another machine,
            processing, cut, body and bones, drawn from `looks.py`, in place of what is set here from `plate_mm` to
            `collimated_share` (the pixel's pitch, `modality` and `monochrome1_share` stay). `withheld`: as wide, from
            ranges beyond; to measure with, never to learn from.
        variant_share: of patients with four or six lumbar bodies or a transitional one; with a look other than plain.
    """

    name: str = "Institution 1 (synthetic)"
    role: Literal["development", "external"] = "development"
    country: str = "phantom"

    patients_normal: int = Field(default=93, ge=0)
    patients_fresh: int = Field(default=280, ge=0)
    patients_old: int = Field(default=135, ge=0)
    excluded_fresh: dict[ExclusionReason, int] = Field(
        default={
            "severe_crush": 3, "foreign_substance": 2, "poor_positioning": 2, "poor_image_quality": 2,
            "onset_unknown": 2, "pathological": 1,
        }
    )  # fmt: skip
    excluded_old: dict[ExclusionReason, int] = Field(default={"severe_crush": 2, "foreign_substance": 1})
    pathological_beside: int = Field(default=0, ge=0)
    images: ImageCounts = ImageCounts()
    age_fresh: tuple[float, float] = (78.5, 11.4)
    age_old: tuple[float, float] = (77.1, 9.3)
    female_share: Share = Field(default=0.76, ge=0, le=1)
    early_share: Share = Field(default=200 / 280, ge=0, le=1)
    mri_delay_days: tuple[float, float] = (3.7, 17.0)
    reread_patients: int = Field(default=50, ge=0)
    readers: ReaderAgreement = ReaderAgreement()

    plate_mm: tuple[float, float] = (254.0, 304.8)
    pixel_mm: float = Field(default=0.15, gt=0)
    kvp: float = 85.0
    sid_mm: float = 1100.0
    spine_to_detector_mm: float = 230.0
    detectors: tuple[Detector, ...] = (
        Detector(name="CALNEO Smart C77"),
        Detector(name="CALNEO MT", scintillator="GOS", blur_mm=0.26, noise_blur_mm=0.08),
    )
    modality: Literal["CR", "DX"] = "DX"
    monochrome1_share: Share = Field(default=0.0, ge=0, le=1)
    quanta: float = Field(default=300.0, gt=0)
    scatter: float = Field(default=0.9, ge=0)
    body_width_mm: float = 300.0
    edge_enhancement: float = 0.6
    range_compression: float = 0.55
    contrast: float = 1.0
    collimated_share: Share = Field(default=0.5, ge=0, le=1)
    sign_factor: float = Field(default=1.0, gt=0)
    overlap_factor: float = Field(default=1.0, ge=0)
    osteophyte_share: Share = Field(default=0.35, ge=0, le=1)
    gas: float = Field(default=1.0, ge=0)
    look: LookName = "plain"
    variant_share: Share = Field(default=0.04, ge=0, le=1)


class PhantomSettings(Settings):
    """The synthetic hospitals of a study; none, when only real films are used.

    Attributes:
        institutions: by institution key (`institution_1`, …), which names the landing folder.
        sign_strength: how plainly fractures show; 0 makes fresh, old and normal alike. The first knob of difficulty.
        overlap: how often a vertebra bears the marks of another class, and how much marks vary. The second knob.
    """

    institutions: dict[str, SyntheticInstitution] = Field(default={})
    sign_strength: float = Field(default=1.0, ge=0, le=3)
    overlap: float = Field(default=1.0, ge=0, le=3)
