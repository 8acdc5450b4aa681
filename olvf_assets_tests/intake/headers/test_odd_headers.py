"""Headers that break the rules: what the study does not need costs no film, what it needs is refused by its name."""

import zlib
from datetime import date, timedelta
from pathlib import Path
from struct import pack
from typing import Any

import pytest
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
)

from olvf_assets.intake.headers.element_walk import MOST_ELEMENTS
from olvf_assets.intake.headers.reading import read_header
from olvf_assets_tests.intake.samples import NAMES, SETTINGS, content_of, film

PRIVATE = b"\x09\x00\x10\x00LO\x06\x00SOMEN "  # (0009,0010), explicit VR, behind group 0008
VIEW_AND_BODY = ("view", "body_part")


def row_of(tmp_path: Path, content: bytes | Dataset) -> dict[str, Any]:
    file = tmp_path / "film.dcm"
    file.write_bytes(content if isinstance(content, bytes) else content_of(content))
    return read_header(file, NAMES, SETTINGS)


def raw(keyword: str, value: bytes, vr: str | None = None) -> Dataset:
    """Return a film of which one attribute holds these bytes."""
    dataset = film()
    dataset[keyword] = DataElement(Tag(keyword), vr or "OB", value.decode() if vr else value, validation_mode=IGNORE)
    return dataset


def in_syntax(written: UID, said: UID) -> bytes:
    """Return a film written in one transfer syntax whose file meta information names another."""
    dataset = film()
    dataset.file_meta.TransferSyntaxUID = written
    content = content_of(dataset)
    old, new = (uid.encode() + b"\0" * (len(uid) % 2) for uid in (written, said))
    place = content.index(b"\x02\x00\x10\x00UI") + 6
    return content[:place] + pack("<H", len(new)) + new + content[place + 2 + len(old) :]


def before_group(content: bytes, inserted: bytes, group: int = 0x10) -> bytes:
    """Return an explicit VR little endian file with elements inserted before a group."""
    place = next(
        place
        for place in range(132, len(content))
        if content[place : place + 2] == pack("<H", group) and content[place + 4 : place + 6] in (b"PN", b"LO", b"CS")
    )
    return content[:place] + inserted + content[place:]


@pytest.mark.parametrize("written", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize(
    "said", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_a_data_set_is_read_as_it_is_not_as_its_file_says(tmp_path: Path, written: UID, said: UID) -> None:
    if (written, said) == (ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian):
        return  # nothing tells big endian from damage there
    row = row_of(tmp_path, in_syntax(written, said))
    assert (row["refusal"], row["rows"], row["pixel_mm"], row["patient_id"]) == (None, 40, 0.15, NAMES.patient("A-1"))


def test_pixels_that_were_decompressed_under_the_old_name_are_read(tmp_path: Path) -> None:
    row = row_of(tmp_path, in_syntax(ExplicitVRLittleEndian, JPEGLosslessSV1))
    assert (row["refusal"], row["transfer_syntax"]) == (None, "Explicit VR Little Endian")


def test_a_file_that_does_not_say_its_syntax_is_read(tmp_path: Path) -> None:
    content = content_of(film())
    place = content.index(b"\x02\x00\x10\x00UI")
    assert row_of(tmp_path, content[:place] + content[place + 28 :])["refusal"] is None


@pytest.mark.parametrize("length", [0, 7, 500_000])
def test_a_wrong_length_of_the_file_meta_information_does_not_count(tmp_path: Path, length: int) -> None:
    content = content_of(film())
    assert row_of(tmp_path, content[:140] + pack("<L", length) + content[144:])["refusal"] is None


@pytest.mark.parametrize(
    "element",
    [
        b"\x09\x00\x11\x10ZZ\x00\x00\x04\x00\x00\x00abcd",  # unknown VR, long as PS3.5 wants
        b"\x09\x00\x11\x10QX\x04\x00abcd",  # unknown VR, short
        b"\x09\x00\x11\x10ZZ\x00\x00",  # unknown VR, empty
        b"\x09\x00\x11\x10\x04\x00\x00\x00abcd",  # implicit among explicit ones
        b"\x09\x00\x11\x10LO\x03\x00abc",  # odd length
        b"\x09\x00\x00\x00UL\x04\x00\xff\xff\xff\x7f",  # group length that lies
        b"\x09\x00\x11\x10UN\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\x04\x00\x00\x00abcd\xfe\xff\xdd\xe0\0\0\0\0",
    ],
)
def test_private_elements_that_break_the_rules_cost_nothing(tmp_path: Path, element: bytes) -> None:
    row = row_of(tmp_path, before_group(content_of(film()), PRIVATE + element))
    assert (row["refusal"], row["rows"]) == (None, 40)


def test_sequences_nested_ten_thousand_deep_cost_nothing(tmp_path: Path) -> None:
    deep = 10_000
    sequence = b"\x09\x00\x11\x10SQ\0\0\xff\xff\xff\xff"
    item, item_end, end = b"\xfe\xff\x00\xe0\xff\xff\xff\xff", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"
    nested = (sequence + item) * deep + (item_end + end) * deep
    assert row_of(tmp_path, before_group(content_of(film()), PRIVATE + nested))["refusal"] is None


def test_an_element_of_four_gigabytes_is_named_as_such(tmp_path: Path) -> None:
    lying = b"\x09\x00\x11\x10OB\0\0\xfe\xff\xff\xff"
    row = row_of(tmp_path, before_group(content_of(film()), PRIVATE + lying))
    assert row["refusal"] == "truncated"
    assert "claims 4294967294 bytes" in row["refusal_detail"]


def test_a_header_of_junk_is_not_read_to_its_end(tmp_path: Path) -> None:
    junk = b"\x09\x00\x11\x10LO\x00\x00" * (MOST_ELEMENTS + 1)
    row = row_of(tmp_path, before_group(content_of(film()), junk))
    assert (row["refusal"], str(MOST_ELEMENTS) in row["refusal_detail"]) == ("bad_header", True)


def test_a_large_private_element_is_passed_over(tmp_path: Path) -> None:
    large = b"\x09\x00\x11\x10OB\0\0" + pack("<L", 30_000_000) + bytes(30_000_000)
    assert row_of(tmp_path, before_group(content_of(film()), PRIVATE + large))["refusal"] is None


def test_a_deflated_bomb_is_refused_before_it_has_unpacked(tmp_path: Path) -> None:
    dataset = film()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content = content_of(dataset)
    start = 144 + int.from_bytes(content[140:144], "little")
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = b"".join(deflater.compress(bytes(1 << 22)) for _ in range(80)) + deflater.flush()
    row = row_of(tmp_path, content[:start] + bomb)
    assert (row["refusal"], row["refusal_detail"]) == (
        "too_large", "the deflated file unpacks to more than 256 MiB; no film does"
    )  # fmt: skip


@pytest.mark.parametrize("kept", [-1, -50])
def test_a_deflated_file_that_was_cut_is_truncated(tmp_path: Path, kept: int) -> None:
    dataset = film()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert row_of(tmp_path, content_of(dataset)[:kept])["refusal"] == "truncated"


@pytest.mark.parametrize(
    ("keyword", "value", "column", "found"),
    [
        ("KVP", b"85,0", "kvp", 85.0),
        ("KVP", b"85 kV ", "kvp", 85.0),
        ("KVP", b"ANONYMIZED", "kvp", None),
        ("KVP", b"9" * 1_000_000, "kvp", None),
        ("KVP", b"", "kvp", None),
        ("DistanceSourceToDetector", b"1100 mm ", "sid_mm", 1100.0),
        ("DistanceSourceToDetector", b"110 cm", "sid_mm", 1100.0),
        ("DistanceSourceToDetector", b"nan ", "sid_mm", None),
        ("DistanceSourceToDetector", b"11 furlong", "sid_mm", None),
        ("NumberOfFrames", b"1.0 ", "rows", 40),
        ("NumberOfFrames", b"ANONYMIZED", "rows", 40),
        ("PixelSpacing", b"ANONYMIZED", "pixel_mm", 0.15),
        ("PixelSpacing", b"0\\0 ", "pixel_mm", 0.15),
        ("PatientOrientation", b"\xff\xfe\x00", "rows", 40),
        ("ViewCodeSequence", b"not a sequence at all ", "rows", 40),
        ("SamplesPerPixel", b"", "rows", 40),
        ("HighBit", b"", "rows", 40),
        ("SeriesDescription", b"\x1b$B" * 50, "rows", 40),
        ("PatientSex", b"F ", "sex", "F"),
        ("PatientSex", b"W ", "sex", None),
        ("PatientAge", b"078Y", "age_years", 78),
        ("PatientAge", b"018M", "age_years", 1),
        ("PatientAge", b"101Y", "age_years", SETTINGS.age_cap_years),
        ("PatientAge", b"seventy ", "age_years", 78),  # from birth and film date
        ("BodyPartExamined", b"ANONYMIZED", "body_part", None),
    ],
)
def test_an_attribute_that_cannot_be_read_is_empty_and_the_film_kept(
    tmp_path: Path, keyword: str, value: bytes, column: str, found: object
) -> None:
    row = row_of(tmp_path, raw(keyword, value))
    assert (row["refusal"], row[column]) == (None, found)


@pytest.mark.parametrize("unknown", [b"x-sjis    ", b"ISO_IR 999", b"\xff" * 10, b"ISO_IR\\\\\\1"])
def test_an_unknown_character_set_costs_nothing(tmp_path: Path, unknown: bytes) -> None:
    content = content_of(film(SpecificCharacterSet="ISO_IR 100", SeriesDescription="LWS seitlich für später"))
    row = row_of(tmp_path, content.replace(b"ISO_IR 100", unknown))
    assert (row["refusal"], row["body_part"]) == (None, "lumbar")


@pytest.mark.parametrize("zero", [b"0\\0 ", b"ANONYMIZED", b"0.15", b"-1\\-1 ", b"nan\\nan ", b"1e400\\1e400"])
def test_a_good_pixel_spacing_stands_beside_an_unusable_one(tmp_path: Path, zero: bytes) -> None:
    dataset = raw("ImagerPixelSpacing", zero)
    dataset.PixelSpacing = [0.15, 0.15]
    row = row_of(tmp_path, dataset)
    assert (row["refusal"], row["pixel_mm"], row["pixel_mm_source"]) == (None, 0.15, "pixel_spacing")


@pytest.mark.parametrize("value", [b"0,15\\0,15", b"0.15 mm\\0.15 mm ", b" 0.15 \\ 0.15 "])
def test_spacings_are_read_however_they_are_written(tmp_path: Path, value: bytes) -> None:
    assert row_of(tmp_path, raw("ImagerPixelSpacing", value))["pixel_mm"] == 0.15


def test_pixels_that_are_called_oblong_are_refused(tmp_path: Path) -> None:
    assert row_of(tmp_path, raw("PixelAspectRatio", b"1\\2 "))["refusal"] == "non_square_pixels"
    assert row_of(tmp_path, raw("PixelAspectRatio", b"1\\1 "))["refusal"] is None


@pytest.mark.parametrize(
    "written",
    [b"00010101", b"99991231", b"99990101", b"18991231", b"20211332", b"ANONYMIZED", b"0", b"",
     (date.today() + timedelta(days=400)).strftime("%Y%m%d").encode()],
)  # fmt: skip
def test_a_placeholder_of_a_day_is_passed_over_for_the_next(tmp_path: Path, written: bytes) -> None:
    row = row_of(tmp_path, raw("AcquisitionDate", written))
    assert row["film_date"] == NAMES.shifted("A-1", date(2019, 4, 3))


@pytest.mark.parametrize(
    "written", [b"2021.03.04", b"2021-03-04", b"2021/3/4", b"20210304", b"20210304101500.000", b"2021-03-04 10:15"]
)
def test_days_are_read_however_they_are_written(tmp_path: Path, written: bytes) -> None:
    assert row_of(tmp_path, raw("AcquisitionDate", written))["film_date"] == NAMES.shifted("A-1", date(2021, 3, 4))


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("LUMBAR SPINE LAT", "lumbar"), ("L-SPINE LAT", "lumbar"), ("LWS", "lumbar"), ("LWS seitl.", "lumbar"),
        ("Lendenwirbelsäule", "lumbar"), ("腰椎", "lumbar"), ("COLUMNA LUMBAR", "lumbar"), ("L/S SPINE", "lumbar"),
        ("RACHIS LOMBAIRE", "lumbar"), ("Coluna lombar", "lumbar"), ("요추", "lumbar"), ("BWS", "thoracic"),
        ("T-SPINE LAT", "thoracic"), ("COLUMNA DORSAL", "thoracic"), ("WIRBELSAEULE", "spine"), ("TH/L SPINE", "spine"),
        ("thoracolumbar spine", "spine"),
    ],
)  # fmt: skip
def test_body_parts_are_read_in_many_words(tmp_path: Path, words: str, part: str) -> None:
    dataset = film(SpecificCharacterSet="ISO_IR 192")
    dataset["BodyPartExamined"] = DataElement(Tag("BodyPartExamined"), "OB", words.encode())
    row = row_of(tmp_path, dataset)
    assert (row["refusal"], row["body_part"]) == (None, part)


@pytest.mark.parametrize("words", ["CERVICAL SPINE", "HWS", "C-SPINE LAT", "KNEE", "頸椎", "FLANK", "Sacrum"])
def test_other_body_parts_are_no_spine(tmp_path: Path, words: str) -> None:
    dataset = film(SpecificCharacterSet="ISO_IR 192")
    dataset["BodyPartExamined"] = DataElement(Tag("BodyPartExamined"), "OB", words.encode())
    assert row_of(tmp_path, dataset)["refusal"] == "not_spine"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"PixelData": bytes(2400 - 60)}, "truncated"),
        ({"PixelData": bytes(4800)}, "multi_frame"),
        ({"PixelData": bytes(7200)}, "multi_frame"),  # three samples a pixel, or three pictures
        ({"NumberOfFrames": 1, "PixelData": bytes(4800)}, "multi_frame"),
        ({"Rows": 65535, "Columns": 65535}, "bad_header"),
        ({"PresentationLUTShape": "INVERSE"}, "contradictory_polarity"),
        ({"SamplesPerPixel": 3, "PlanarConfiguration": 1}, "colour"),
    ],
)
def test_pixel_data_that_do_not_fit_their_header_are_refused(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    row = row_of(tmp_path, film(**changes))
    assert row["refusal"] == reason
    assert row["refusal_detail"]


def test_an_inverse_shape_of_monochrome1_says_the_same_twice(tmp_path: Path) -> None:
    row = row_of(tmp_path, film(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"))
    assert row["refusal"] is None


@pytest.mark.parametrize(
    ("keyword", "value", "vr"),
    [
        ("ImagerPixelSpacing", b"19450304\\19450304", None),
        ("PixelSpacing", b"19450304\\19450304", None),
        ("Rows", b"19450304", "IS"),
        ("BitsStored", b"19450304", "IS"),
        ("BitsAllocated", b"19450304", "IS"),
        ("HighBit", b"19450304", "IS"),
        ("NumberOfFrames", b"19450304", None),
        ("KVP", b"19450304", None),
        ("PhotometricInterpretation", b"19450304", None),
        ("Modality", b"19450304", None),
        ("ViewPosition", b"19450304", None),
        ("BodyPartExamined", b"19450304", None),
        ("ManufacturerModelName", b"CXDI 19450304 ", None),
        ("PatientSex", b"19450304", None),
        ("PatientAge", b"19450304", None),
        ("PixelAspectRatio", b"19450304\\1 ", None),
    ],
)
def test_no_attribute_carries_what_is_typed_there_into_a_row(
    tmp_path: Path, keyword: str, value: bytes, vr: str | None
) -> None:
    row = row_of(tmp_path, raw(keyword, value, vr))
    shown = " ".join(f"{each:.0f}" if isinstance(each, float) else str(each) for each in row.values())
    assert not [each for each in ("1945", "1.945", "0304") if each in shown]


def test_a_private_transfer_syntax_is_not_shown(tmp_path: Path) -> None:
    row = row_of(tmp_path, in_syntax(ExplicitVRLittleEndian, UID("1.2.392.19450304.4711007")))
    assert (row["refusal"], row["transfer_syntax"]) == (
        "unsupported_transfer_syntax", "a private or unknown transfer syntax",
    )  # fmt: skip
    assert "4711007" not in str(row)
