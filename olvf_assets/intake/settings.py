"""Settings of the room `intake`: what counts as a usable film and a plausible sheet value."""

from pydantic import Field, model_validator

from olvf_assets.foundation.settings import Settings

# No detector plate has more pixels a side; a header that says so is broken.
LARGEST_SIDE_PX = 10_000


# Words and numbers of the model names of CR and DX systems, by maker. Numbers are listed one by one: another one may be
# a day, a telephone or a record number.
_DETECTOR_WORDS = """
    FUJIFILM FCR FDR CALNEO SMART FLOW DUAL MT AQRO GO PLUS BENEO VELOCITY CLINICA PROFECT CAPSULA XG XL SPEEDIA ID
    DEVO EVO II III IR C77 C77I C50 C47 C47I C43 C35 C24 C12 C1717 C1417 1717 1417 1212 2430 XL2 CS 5000 5501 300 341
    342 346 348 355 357 362 363 391 600 601 611 700 711 800 900 1200 1201SE 1202SE 1211SE 1212SE 1213SE 1270 1271SE
    1274SE 1300 1500 1800
    DR CR KONICA MINOLTA REGIUS AERODR FINE SWIFT HD HQ LT P31 P51 P52 P61 P65 P71 P75 CS3 CS7 AERODR2 AERODR3 1417HQ
    1717HQ 110 150 170 190 210
    CANON CXDI WIRELESS COMPACT ELITE PRO CSI GOS NE CONTROL SOFTWARE 401C 401G 401W 402C 402CW 410C 410CW 411C 420C
    501C 501G 701C 701G 702C 703C 710C 710CW 711C 720C 801C 801G 801CW 810C 820C 40C 40G 40EC 40EG 50C 50G 50RF 55C 55G
    60C 60G 70C 80C
    CARESTREAM KODAK DIRECTVIEW DRX EVOLUTION REVOLUTION ASCEND CLASSIC DETECTOR LUX FOCUS DRX1 DRX1C DRX2530C 2530C
    3543 3543C 4343 4343C CR825 CR850 CR950 CR975
    SIEMENS YSIO MAX MULTIX FUSION SELECT IMPACT AXIOM ARISTOS LUMINOS AGILE FLUOROSPOT MOBILETT ELARA PIXIUM
    PHILIPS DIGITALDIAGNOST DIGITAL DIAGNOST DURADIAGNOST MOBILEDIAGNOST ESSENTA ELEVA PCR SKYPLATE PROXIDIAGNOST WDR
    C90 TH2
    GE DEFINIUM DISCOVERY OPTIMA XR PROTEUS THUNDER PLATFORM BRIVO FLASHPAD XR220 XR240 XR646 XR650 XR656 8000
    SHIMADZU RADSPEED RADNEXT SONIALVISION SAFIRE MOBILEDART FLEXAVISION
    SAMSUNG XGEO GC GM GC70 GC80 GC85 GC85A GU60 GU60A GM60 GM60A GM85
    AGFA DX DXD DXD100 DXD300 DXD400 DXD500 DXD600 CR30 CR30X CR35 CR75 CR85
"""
DETECTOR_WORDS = tuple(dict.fromkeys(_DETECTOR_WORDS.split()))


class IntakeSettings(Settings):
    """Limits at the gate. All have defaults that suit lateral lumbar CR/DX films.

    Attributes:
        min_side_px: of films whose spacing nobody knows; others are measured in mm.
        detector_words: words and model numbers that a detector's name may consist of; other names are free text and
            stay behind.
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
    min_side_px: int = Field(default=200, ge=1)
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
