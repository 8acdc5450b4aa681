import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olvf_assets.intake.landing.file_names import on_disk, readable, text_of
from olvf_assets.intake.landing.landing_walk import walk_landing

SHIFT_JIS = "山田.dcm".encode("cp932")  # 8E 52 93 63


@given(st.binary(min_size=1, max_size=30).filter(lambda name: b"/" not in name and b"\0" not in name))
def test_every_name_becomes_a_text_of_utf_8_and_leads_back_to_its_file(name: bytes) -> None:
    text = text_of(os.fsdecode(name))
    assert text.encode().decode() == text
    assert os.fsencode(on_disk(Path("folder"), text)) == os.fsencode(Path("folder") / os.fsdecode(name))


@pytest.mark.parametrize("name", ["IM0001.dcm", "山田.dcm", "é"])
def test_names_of_utf_8_are_their_own_text(name: str) -> None:
    assert text_of(name) == name
    assert readable(name) == name


def test_bytes_are_read_as_shift_jis_where_they_are_that() -> None:
    assert text_of(os.fsdecode(SHIFT_JIS)) == "\uf78eR\uf793c.dcm"
    assert readable("\uf78eR\uf793c.dcm") == "山田.dcm"
    assert readable("\uf7ff.dcm") is None


def test_a_letter_of_the_private_use_area_is_not_taken_for_a_byte(tmp_path: Path) -> None:
    (tmp_path / "\uf78e.dcm").write_bytes(b"letter")
    (tmp_path / os.fsdecode(b"\x8e.dcm")).write_bytes(b"byte")
    found = {file.path: on_disk(tmp_path, file.path).read_bytes() for file in walk_landing(tmp_path)}
    assert found == {"\uf78e.dcm": b"byte", "\uf7ef\uf79e\uf78e.dcm": b"letter"}
