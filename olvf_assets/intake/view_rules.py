"""How a film was taken, as far as its header says: lateral or not, spine or not, neutral or bent.

What lives here: the reading of view, orientation and body-part attributes, in English and Japanese wording. What does
not: whether the file is a usable image (`headers`), or looking at pixels (nothing here looks at pixels).
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from pydicom import Dataset

from olvf_assets.foundation.vocabulary import View
from olvf_assets.intake.header_privacy import shown_code

LATERAL_VIEW_POSITIONS = frozenset({"LL", "RL", "LAT", "LATERAL", "LLAT", "RLAT", "LTLAT", "RTLAT"})
# SNOMED CT codes of PS3.16 CID 4010 "DX View": lateral, left lateral, right lateral projection.
LATERAL_VIEW_CODES = frozenset({"399067008", "399173006", "399198007", "R-10236", "R-1023B", "R-10238"})

_WORD = r"(?<![A-Z])(?:{})(?![A-Z])"
FRONTAL_TEXT = re.compile(_WORD.format(r"AP|A-P|PA|P-A|FRONTAL|FRONT|OBL|OBLIQUE") + "|正面|斜位")
LATERAL_TEXT = re.compile(_WORD.format(r"LAT|LATERAL|LL|RL|FLEX\w*|EXT|EXTEN\w*") + "|側面|前屈|後屈")
FLEXION_TEXT = re.compile(_WORD.format(r"FLEX|FLEXION|ANTEFLEXION|HYPERFLEXION") + "|前屈")
EXTENSION_TEXT = re.compile(_WORD.format(r"EXT|EXTENSION|RETROFLEXION|HYPEREXTENSION") + "|後屈")
THORACIC_TEXT = re.compile(_WORD.format(r"THORACIC|T[ -]?SPINE|TH[ -]?SPINE|DORSAL SPINE|THORAX SPINE") + "|胸椎")
THORACIC_BODY_PARTS = frozenset({"TSPINE", "THORACICSPINE"})


class Judgement(NamedTuple):
    """A refusal (reason code, detail for the technologist), or none."""

    reason: str | None
    detail: str | None


ACCEPTED = Judgement(None, None)


def judge_projection(header: Dataset) -> Judgement:
    """Refuse a film that its header does not call lateral (`not_lateral`).

    Order of trust: ViewPosition (0018,5101), View Code Sequence (0054,0220), Patient Orientation (0020,0020; the rows
    of a lateral film run anterior-posterior), then the words of the descriptions.
    """
    said = _view_position(header) or _view_code(header) or _orientation(header) or _words(header)
    return said or Judgement(
        "not_lateral", "nothing in the header says lateral; fill in ViewPosition (LL or RL) at the modality or PACS"
    )


def _view_position(header: Dataset) -> Judgement | None:
    position = _text(header, "ViewPosition").upper()
    if not position or re.sub(r"[^A-Z]", "", position) in LATERAL_VIEW_POSITIONS:
        return ACCEPTED if position else None
    return Judgement("not_lateral", f"ViewPosition is {shown_code(position)}; a lateral film says LL or RL")


def _view_code(header: Dataset) -> Judgement | None:
    codes = {_text(item, "CodeValue") for item in header.get("ViewCodeSequence") or []} - {""}
    if not codes or codes & LATERAL_VIEW_CODES:
        return ACCEPTED if codes else None
    return Judgement("not_lateral", "View Code Sequence names another projection than a lateral one")


def _orientation(header: Dataset) -> Judgement | None:
    direction = _row_direction(header)
    if not direction or direction in "AP":
        return ACCEPTED if direction else None
    return Judgement("not_lateral", f"Patient Orientation runs {shown_code(direction)} along the rows, not A or P")


def _words(header: Dataset) -> Judgement | None:
    words = descriptions(header)
    if FRONTAL_TEXT.search(words):
        return Judgement("not_lateral", "the series or protocol description reads as AP, PA or oblique")
    return ACCEPTED if LATERAL_TEXT.search(words) else None


def judge_body_part(header: Dataset, body_parts: tuple[str, ...]) -> Judgement:
    """Refuse a film whose Body Part Examined (0018,0015) is filled in and is not one of `body_parts` (`not_spine`)."""
    body_part = body_part_letters(header)
    if not body_part or body_part in body_parts or "腰椎" in _text(header, "BodyPartExamined"):
        return ACCEPTED
    return Judgement("not_spine", f"BodyPartExamined is {shown_code(body_part)}; expected LSPINE, TSPINE or SPINE")


def view_of(header: Dataset) -> View:
    """Return the view of a lateral film; `neutral` unless the header speaks of bending or the thoracic spine."""
    words = descriptions(header)
    if FLEXION_TEXT.search(words):
        return "flexion"
    if EXTENSION_TEXT.search(words):
        return "extension"
    if body_part_letters(header) in THORACIC_BODY_PARTS or (
        not body_part_letters(header) and THORACIC_TEXT.search(words)
    ):
        return "thoracic"
    return "neutral"


def body_part_letters(header: Dataset) -> str:
    """Return Body Part Examined as its capital letters only: "L SPINE" and "L-Spine" are both LSPINE."""
    return re.sub(r"[^A-Z]", "", _text(header, "BodyPartExamined").upper())


def descriptions(header: Dataset) -> str:
    """Return the words that describe the exposure, upper case; never shown to anyone, as people type names there."""
    return " | ".join(_description_parts(header)).upper().replace("_", " ")


def _description_parts(header: Dataset) -> Iterator[str]:
    for keyword in (
        "SeriesDescription",
        "ProtocolName",
        "AcquisitionDeviceProcessingDescription",
        "AcquisitionProtocolName",
        "PerformedProcedureStepDescription",
        "ImageComments",
    ):
        yield _text(header, keyword)
    for sequence in ("ViewCodeSequence", "ViewModifierCodeSequence"):
        items = list(header.get(sequence) or [])
        for item in items:
            yield _text(item, "CodeMeaning")
            for modifier in item.get("ViewModifierCodeSequence") or []:
                yield _text(modifier, "CodeMeaning")


def _row_direction(header: Dataset) -> str:
    value = header.get("PatientOrientation")
    if not value or isinstance(value, str):
        return ""
    return str(value[0])[:1].upper()


def _text(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else str(value).strip()
