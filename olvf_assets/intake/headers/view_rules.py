"""How a film was taken, as far as its header says: projection, body part, bending.

What lives here: the reading of view, orientation and body-part attributes, in English and Japanese wording, and what
follows when they agree, disagree or are silent. What does not: whether the file is a usable image (`headers.reading`),
looking at pixels (`picture_views`).
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from pydicom import Dataset

from olvf_assets.foundation.vocabulary import View
from olvf_assets.intake.headers.values import ACCEPTED, Judgement, items, readings, text, values
from olvf_assets.intake.privacy.header_privacy import shown_code

BodyPart = Literal["lumbar", "thoracic", "spine"]  # spine: the header says no more than that
Bending = Literal["neutral", "flexion", "extension", "unknown"]
FilmView = View | Literal["unknown"]  # unknown: lateral, but nothing tells a neutral from a bent spine

LATERAL_VIEW_POSITIONS = frozenset({"LL", "RL", "LAT", "LATERAL", "LLAT", "RLAT", "LTLAT", "RTLAT"})
# What consoles and anonymisers write instead of a value.
EMPTY_TERMS = frozenset(
    {
        "UNK",
        "UNKNOWN",
        "OTHER",
        "NONE",
        "UNDEFINED",
        "NA",
        "ANONYMIZED",
        "ANONYMISED",
        "ANON",
        "REMOVED",
        "DEIDENTIFIED",
    }
)
# SNOMED CT codes of PS3.16 CID 4010 "DX View": lateral, left lateral, right lateral projection.
LATERAL_VIEW_CODES = frozenset({"399067008", "399173006", "399198007", "R-10236", "R-1023B", "R-10238"})
# Codes of PS3.16 CID 4009 "DX Anatomy Imaged".
REGION_CODES: dict[str, BodyPart] = {
    "122496007": "lumbar", "T-11503": "lumbar", "122495006": "thoracic", "T-11502": "thoracic",
    "421060004": "spine", "T-11500": "spine",
}  # fmt: skip
LUMBAR_BODY_PARTS = frozenset(
    {"LSPINE", "LSSPINE", "LUMBAR", "LUMBARSPINE", "LUMBOSACRALSPINE", "LUMBARVERTEBRAE"}
)  # fmt: skip
THORACIC_BODY_PARTS = frozenset({"TSPINE", "THORACICSPINE"})

# Words of English, Japanese and of what consoles in other languages write.
_WORD = r"(?<![A-Z])(?:{})(?![A-Z])"
FRONTAL_TEXT = re.compile(
    _WORD.format(r"AP|A-P|A\.P|PA|P-A|FRONTAL|FRONT|OBL|OBLIQUE|DE FACE") + "|正面|正位|斜位|정면|ショウメン|シャイ"
)
LATERAL_TEXT = re.compile(
    _WORD.format(r"LAT|LATERAL\w*|LATÉRAL\w*|SEITLICH|PROFIL|LL|RL|FLEX\w*|EXT|EXTEN\w*")
    + "|側面|側位|侧位|측면|前屈|後屈|ソクメン"
)
FLEXION_TEXT = re.compile(_WORD.format(r"FLEX|FLEXION|ANTEFLEXION|HYPERFLEXION") + "|前屈|ゼンクツ")
EXTENSION_TEXT = re.compile(_WORD.format(r"EXT|EXTENSION|RETROFLEXION|HYPEREXTENSION") + "|後屈|コウクツ")
THORACIC_TEXT = re.compile(
    _WORD.format(
        r"THORACIC|THORACAL|TH?[/-]L|T[ -]?SPINE|TH[ -]?SPINE|DORSAL SPINE|THORAX SPINE|BWS|BRUSTWIRBEL\w*|"
        r"(?:COLUMNA|COLONNA|COLUNA|RACHIS) (?:DORSAL|TORACIC|TOR[AÁ]CIC|THORACIQUE)\w*"
    )
    + "|胸椎|흉추|キョウツイ"
)
LUMBAR_TEXT = re.compile(
    _WORD.format(
        r"LUMBAR|L[ -]?SPINE|L[ /]?S[ -]?SPINE|LUMBOSACRAL|LWS|LENDENW\w*|LUMBAL\w*|LOMBAIRES?|LOMBAR|LOMBARES?|"
        r"LUMBOSACRA|LUMBOSACRE|LOMBOSACRAL\w*"
    )
    + "|(?<!胸)腰椎|腰仙椎|요추|(?<!キョウ)ヨウツイ"
)
SPINE_TEXT = re.compile(
    _WORD.format(r"SPINE|WIRBELS\w*|THORACOLUMBAR|COLUMNA|COLONNA VERTEBRALE|COLUNA|RACHIS") + "|脊椎|脊柱|胸腰椎|척추"
)
NECK_TEXT = re.compile(
    _WORD.format(r"CERVICAL\w*|C[ -]?SPINE|HWS|HALSWIRBEL\w*|SACRUM|COCCYX|SACRAL SPINE") + "|頸椎|頚椎|경추"
)
DESCRIPTIONS = (
    "SeriesDescription",
    "ProtocolName",
    "AcquisitionDeviceProcessingDescription",
    "AcquisitionProtocolName",
    "PerformedProcedureStepDescription",
    "ImageComments",
)


class HeaderView(NamedTuple):
    """What a header says of how the film was taken.

    Attributes:
        lateral: True; None when the header is silent or contradicts itself, so that the picture must tell.
        body_part: None likewise.
        bending: `unknown` when the header is silent about the projection too, or names both directions.
        evidence, body_part_evidence: which attributes said so.
        judgement: the refusal of a film that its header calls something else without contradiction.
    """

    lateral: Literal[True] | None
    body_part: BodyPart | None
    bending: Bending
    evidence: str
    body_part_evidence: str
    judgement: Judgement = ACCEPTED


class _Said(NamedTuple):
    """What one attribute says: the value, the attribute with its value, and the detail of a refusal."""

    value: str
    evidence: str
    refusal: str = ""


def header_view(header: Dataset, body_parts: tuple[str, ...]) -> HeaderView:
    """Return what the header says of projection, body part and bending.

    Projection: View Position (0018,5101), View Code Sequence (0054,0220) and the words of the descriptions count alike;
    Patient Orientation (0020,0020), which many consoles write without knowing it, counts where those are silent.
    Body part: Body Part Examined (0018,0015), Anatomic Region Sequence (0008,2218) and the words.

    Args:
        header: the film's attributes.
        body_parts: what Body Part Examined may say, in capital letters.

    Returns:
        Refusals are `not_lateral` and `not_spine`.
    """
    words = descriptions(header)
    projection = [said for said in (_view_position(header), _view_code(header), _words(words)) if said]
    projection = projection or [said for said in (_orientation(header),) if said]
    parts = [said for said in (_body_part(header, body_parts), _region(header), _part_words(words)) if said]
    projections, part_values = {said.value for said in projection}, {said.value for said in parts}
    judgement = ACCEPTED
    if projections == {"other"}:
        judgement = Judgement("not_lateral", projection[0].refusal)
    elif part_values == {"other"}:
        judgement = Judgement("not_spine", parts[0].refusal)
    part = _agreed_part(part_values)
    return HeaderView(
        lateral=True if projections == {"lateral"} else None,
        body_part=part,
        bending=_bending(words, described=bool(projection)),
        evidence=_evidence(projection, "nothing in the header says how the film was taken"),
        body_part_evidence=_evidence(parts, "nothing in the header names a body part"),
        judgement=judgement,
    )


def view_of(body_part: str | None, bending: str) -> FilmView:
    """Return the view of a lateral film."""
    if bending == "flexion":
        return "flexion"
    if bending == "extension":
        return "extension"
    if body_part == "thoracic":
        return "thoracic"
    return "unknown" if bending == "unknown" else "neutral"


def _evidence(said: list[_Said], silent: str) -> str:
    if not said:
        return silent
    agree = len({each.value for each in said} - {"spine"}) <= 1
    return ("" if agree else "contradiction: ") + ", ".join(each.evidence for each in said)


def _agreed_part(values: set[str]) -> BodyPart | None:
    specific = values - {"spine"}
    if specific == {"lumbar"}:
        return "lumbar"
    if specific == {"thoracic"}:
        return "thoracic"
    return "spine" if values == {"spine"} else None


def _bending(words: str, *, described: bool) -> Bending:
    flexion, extension = bool(FLEXION_TEXT.search(words)), bool(EXTENSION_TEXT.search(words))
    if (flexion and extension) or not described:
        return "unknown"
    if flexion:
        return "flexion"
    return "extension" if extension else "neutral"


def _view_position(header: Dataset) -> _Said | None:
    position = " ".join(readings(header, "ViewPosition")).upper()
    bare = re.sub(r"[^A-Z]", "", text(header, "ViewPosition").upper())
    if not position or bare in EMPTY_TERMS:
        return None
    if bare in LATERAL_VIEW_POSITIONS or (LATERAL_TEXT.search(position) and not FRONTAL_TEXT.search(position)):
        return _Said("lateral", f"ViewPosition {bare}" if bare in LATERAL_VIEW_POSITIONS else "ViewPosition, in words")
    return _Said(
        "other",
        f"ViewPosition {shown_code(position)}",
        f"ViewPosition is {shown_code(position)}; a lateral film says LL or RL",
    )


def _view_code(header: Dataset) -> _Said | None:
    codes = {text(item, "CodeValue") for item in items(header, "ViewCodeSequence")} - {""}
    if not codes:
        return None
    if codes & LATERAL_VIEW_CODES:
        return _Said("lateral", f"View Code {min(codes & LATERAL_VIEW_CODES)}")
    detail = "View Code Sequence names another projection than a lateral one"
    return _Said("other", "View Code of another projection", detail)


def _orientation(header: Dataset) -> _Said | None:
    directions = values(header, "PatientOrientation")
    direction = directions[0][:1].upper() if len(directions) > 1 else ""
    if not direction:
        return None
    if direction in "AP":
        return _Said("lateral", f"Patient Orientation {direction} along the rows")
    shown = shown_code(direction)
    return _Said(
        "other", f"Patient Orientation {shown}", f"Patient Orientation runs {shown} along the rows, not A or P"
    )


def _words(words: str) -> _Said | None:
    """Return what the descriptions say; a study named after both films ("AP + LAT") says nothing."""
    frontal, lateral = bool(FRONTAL_TEXT.search(words)), bool(LATERAL_TEXT.search(words))
    if frontal == lateral:
        return None
    if lateral:
        return _Said("lateral", "description reads as lateral")
    detail = "the series or protocol description reads as AP, PA or oblique"
    return _Said("other", "description reads as AP, PA or oblique", detail)


def _body_part(header: Dataset, body_parts: tuple[str, ...]) -> _Said | None:
    said = " ".join(readings(header, "BodyPartExamined")).upper()
    bare = re.sub(r"[^A-Z]", "", text(header, "BodyPartExamined").upper())
    if not said.strip() or bare in EMPTY_TERMS:
        return None
    if bare in body_parts:
        part = "lumbar" if bare in LUMBAR_BODY_PARTS else "thoracic" if bare in THORACIC_BODY_PARTS else "spine"
        return _Said(part, f"BodyPartExamined {bare}")
    named = _named_part(said.replace("_", " "))
    if named is not None:
        return _Said(named, f"BodyPartExamined ({named}, in words)")
    shown = shown_code(bare)
    detail = f"BodyPartExamined is {shown}; expected LSPINE, TSPINE or SPINE"
    return _Said("other", f"BodyPartExamined {shown}", detail)


def _named_part(words: str) -> BodyPart | None:
    """Return the part of the spine that words name, None where they name none or one that the study does not use."""
    lumbar, thoracic = bool(LUMBAR_TEXT.search(words)), bool(THORACIC_TEXT.search(words))
    if NECK_TEXT.search(words) and not lumbar and not thoracic:
        return None
    if lumbar != thoracic:
        return "lumbar" if lumbar else "thoracic"
    return "spine" if lumbar or SPINE_TEXT.search(words) else None


def _region(header: Dataset) -> _Said | None:
    for item in items(header, "AnatomicRegionSequence"):
        value = text(item, "CodeValue")
        if value in REGION_CODES:
            return _Said(REGION_CODES[value], f"Anatomic Region {value}")
    return None


def _part_words(words: str) -> _Said | None:
    lumbar, thoracic = bool(LUMBAR_TEXT.search(words)), bool(THORACIC_TEXT.search(words))
    if lumbar == thoracic:
        return None
    part = "lumbar" if lumbar else "thoracic"
    return _Said(part, f"description reads as {part} spine")


def descriptions(header: Dataset) -> str:
    """Return the words that describe the exposure, upper case; never shown to anyone, as people type names there."""
    return " | ".join(_description_parts(header)).upper().replace("_", " ")


def _description_parts(header: Dataset) -> Iterator[str]:
    for keyword in DESCRIPTIONS:
        yield from readings(header, keyword)
    for sequence in ("ViewCodeSequence", "ViewModifierCodeSequence"):
        for item in items(header, sequence):
            yield text(item, "CodeMeaning")
            for modifier in items(item, "ViewModifierCodeSequence"):
                yield text(modifier, "CodeMeaning")
