"""Settings of the room `intake`: what counts as a usable film and a plausible sheet value."""

from pydantic import Field, model_validator

from olvf_assets.foundation.settings import Settings

# No detector plate has more pixels a side; a header that says so is broken.
LARGEST_SIDE_PX = 10_000


# Words of the model names of CR and DX systems, by maker.
_DETECTOR_WORDS = """
    FUJIFILM FCR FDR CALNEO SMART FLOW DUAL MT AQRO GO PLUS BENEO VELOCITY CLINICA PROFECT CAPSULA XG XL SPEEDIA ID
    DR CR KONICA MINOLTA REGIUS AERODR FINE SWIFT CANON CXDI WIRELESS COMPACT ELITE PRO CSI GOS
    CARESTREAM KODAK DIRECTVIEW DRX EVOLUTION REVOLUTION ASCEND CLASSIC DETECTOR LUX FOCUS
    SIEMENS YSIO MAX MULTIX FUSION SELECT IMPACT AXIOM ARISTOS LUMINOS AGILE FLUOROSPOT MOBILETT ELARA PIXIUM
    PHILIPS DIGITALDIAGNOST DIGITAL DIAGNOST DURADIAGNOST MOBILEDIAGNOST ESSENTA ELEVA PCR SKYPLATE PROXIDIAGNOST WDR
    GE DEFINIUM DISCOVERY OPTIMA XR PROTEUS THUNDER PLATFORM BRIVO FLASHPAD
    SHIMADZU RADSPEED RADNEXT SONIALVISION SAFIRE MOBILEDART FLEXAVISION SAMSUNG XGEO GC GM AGFA DX
"""
DETECTOR_WORDS = tuple(_DETECTOR_WORDS.split())


class IntakeSettings(Settings):
    """Limits at the gate. All have defaults that suit lateral lumbar CR/DX films.

    Attributes:
        detector_words: words that a detector's name may consist of; other names are free text and stay behind.
    """

    modalities: tuple[str, ...] = ("CR", "DX", "DR", "RG")
    body_parts: tuple[str, ...] = (
        "LSPINE",
        "LSSPINE",
        "LUMBAR",
        "LUMBARSPINE",
        "LUMBOSACRALSPINE",
        "LUMBARVERTEBRAE",
        "SPINE",
        "TLSPINE",
        "TSPINE",
        "THORACICSPINE",
        "THORACOLUMBARSPINE",
        "WHOLESPINE",
    )
    pixel_mm_range: tuple[float, float] = (0.04, 0.45)
    min_side_mm: float = Field(default=100.0, ge=0.0)
    kvp_range: tuple[float, float] = (30.0, 160.0)
    sid_mm_range: tuple[float, float] = (500.0, 4000.0)
    detector_words: tuple[str, ...] = DETECTOR_WORDS
    window_percentiles: tuple[float, float] = (0.5, 99.5)
    age_years_range: tuple[int, int] = (0, 120)
    age_cap_years: int = Field(default=90, ge=1)
    severe_crush_height_ratio: float = Field(default=0.60, gt=0.0, lt=1.0)
    box_margin_px: float = Field(default=1.5, ge=0.0)

    @model_validator(mode="after")
    def _ranges_ascend(self) -> "IntakeSettings":
        for name in ("pixel_mm_range", "kvp_range", "sid_mm_range", "window_percentiles", "age_years_range"):
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f"{name}: the first number must be below the second, not {low}, {high}")
        return self
