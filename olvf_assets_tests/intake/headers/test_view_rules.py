from typing import Any

import pytest
from pydicom.dataset import Dataset

from olvf_assets.intake.headers.reading import read_header
from olvf_assets.intake.headers.view_rules import HeaderView, header_view, view_of
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets_tests.intake.samples import NAMES, SETTINGS, film, write

PARTS = IntakeSettings().body_parts


def said(**attributes: Any) -> HeaderView:
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return header_view(ds, PARTS)


def code(value: str) -> Dataset:
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, "SCT", ""
    return ds


def test_a_silent_header_decides_nothing_and_says_so() -> None:
    found = said()
    assert (found.lateral, found.body_part, found.bending, found.judgement.reason) == (None, None, "unknown", None)
    assert found.evidence == "nothing in the header says how the film was taken"
    assert found.body_part_evidence == "nothing in the header names a body part"


@pytest.mark.parametrize(
    ("attributes", "evidence"),
    [
        (
            {"ViewPosition": "AP", "SeriesDescription": "L-SPINE LAT"},
            "contradiction: ViewPosition AP, description reads as lateral",
        ),
        (
            {"ViewPosition": "LL", "ViewCodeSequence": [code("399348003")]},
            "contradiction: ViewPosition LL, View Code of another projection",
        ),
    ],
)
def test_a_header_that_contradicts_itself_leaves_the_projection_to_the_picture(
    attributes: dict[str, Any], evidence: str
) -> None:
    found = said(**attributes)
    assert (found.lateral, found.judgement.reason, found.evidence) == (None, None, evidence)


def test_patient_orientation_counts_only_where_the_others_are_silent() -> None:
    assert said(ViewPosition="LL", PatientOrientation=["L", "F"]).lateral is True
    assert said(PatientOrientation=["A", "F"]).evidence == "Patient Orientation A along the rows"
    assert said(PatientOrientation=["L", "F"]).judgement.reason == "not_lateral"


def test_a_study_named_after_both_films_says_nothing_of_one() -> None:
    assert said(SeriesDescription="L-SPINE AP + LAT").lateral is None
    assert said(SeriesDescription="L-SPINE LAT FLEX/EXT").bending == "unknown"


@pytest.mark.parametrize(
    ("attributes", "part"),
    [
        ({"BodyPartExamined": "LSPINE"}, "lumbar"),
        ({"BodyPartExamined": "SPINE"}, "spine"),
        ({"BodyPartExamined": "SPINE", "SeriesDescription": "T-SPINE LAT"}, "thoracic"),
        ({"AnatomicRegionSequence": [code("122495006")]}, "thoracic"),
        ({"AnatomicRegionSequence": [code("T-11503")]}, "lumbar"),
        ({"SeriesDescription": "LUMBAR LAT"}, "lumbar"),
        ({"BodyPartExamined": "LSPINE", "SeriesDescription": "T-SPINE LAT"}, None),
        ({"BodyPartExamined": "CHEST", "SeriesDescription": "L-SPINE LAT"}, None),
    ],
)
def test_the_body_part_is_what_all_attributes_agree_on(attributes: dict[str, Any], part: str | None) -> None:
    found = said(**attributes)
    assert (found.body_part, found.judgement.reason) == (part, None)
    assert found.body_part_evidence.startswith("contradiction") == (part is None)


@pytest.mark.parametrize(
    ("body_part", "bending", "view"),
    [
        ("lumbar", "neutral", "neutral"), ("lumbar", "unknown", "unknown"), ("thoracic", "unknown", "thoracic"),
        ("thoracic", "flexion", "flexion"), ("spine", "extension", "extension"), ("spine", "neutral", "neutral"),
    ],
)  # fmt: skip
def test_the_view_follows_body_part_and_bending(body_part: str, bending: str, view: str) -> None:
    assert view_of(body_part, bending) == view


# How the words reach a file: the character set that the header declares, and the bytes.
JAPANESE = [
    ("ISO_IR 192", "utf-8"),
    ("\\ISO 2022 IR 87", "iso2022_jp"),
    ("ISO 2022 IR 13\\ISO 2022 IR 87", "iso2022_jp"),
    ("ISO_IR 100", "cp932"),  # declared Latin, written by Japanese Windows
    (None, "cp932"),
    (None, "euc_jp"),
    ("ISO_IR 100", "utf-8"),
    ("ISO 2022 IR 999", "utf-8"),  # no such character set
]


@pytest.mark.parametrize(("declared", "written"), JAPANESE)
@pytest.mark.parametrize(
    ("words", "refusal", "view"),
    [
        ("腰椎 側面", None, "neutral"), ("腰椎側面 前屈", None, "flexion"), ("腰椎 正面", "not_lateral", None),
        ("胸椎 側面", None, "thoracic"),
    ],
)  # fmt: skip
def test_japanese_words_are_read_in_whatever_encoding_they_come(
    tmp_path: Any, declared: str | None, written: str, words: str, refusal: str | None, view: str | None
) -> None:
    ds = film(ViewPosition=None, BodyPartExamined=None)
    ds.add_new("SeriesDescription", "LO", "PLACE")
    ds.PatientName = "Yamada^Taro"
    content = write(ds, tmp_path / "plain.dcm").read_bytes()
    # Exchanged in the bytes, as pydicom would not write what does not fit the declared set.
    raw = words.encode(written)
    raw += b" " * (len(raw) % 2)
    charset = (declared or "").encode()
    charset += b" " * (len(charset) % 2)
    series = b"\x08\x00\x3e\x10LO"
    content = content.replace(series + b"\x06\x00PLACE ", series + len(raw).to_bytes(2, "little") + raw)
    first = content.index(b"\x08\x00\x16\x00UI")
    if declared is not None:
        content = (
            content[:first] + b"\x08\x00\x05\x00CS" + len(charset).to_bytes(2, "little") + charset + content[first:]
        )
    file = tmp_path / "film.dcm"
    file.write_bytes(content)
    row = read_header(file, NAMES, SETTINGS)
    assert (row["refusal"], row["view"]) == (refusal, view)


def test_half_width_katakana_and_full_width_letters_are_read() -> None:
    assert said(SeriesDescription="ﾖｳﾂｲ ｿｸﾒﾝ").lateral is True
    assert said(SeriesDescription="ﾖｳﾂｲ ｿｸﾒﾝ").body_part == "lumbar"
    assert said(SeriesDescription="ＬＡＴ").lateral is True
    assert said(ViewPosition="側面").lateral is True
    assert said(BodyPartExamined="胸腰椎", SeriesDescription="LAT").body_part == "spine"
