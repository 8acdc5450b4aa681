import io
import zipfile
from pathlib import Path

import pytest

from olvf_assets.intake.landing.archives import (
    Member,
    UnusableArchiveError,
    archive_members,
    archive_of,
    member_digest,
    open_landed,
    read_member,
)


def packed(path: Path, members: dict[str, bytes], **options: int) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refusal(archive: Path) -> str:
    def read_all() -> list[str]:
        return [member_digest((archive, member.name)) for member in archive_members(archive)]

    with pytest.raises(UnusableArchiveError) as error:
        read_all()
    assert error.value.detail
    return error.value.reason


def sizes(archive: Path) -> dict[str, int]:
    return {member.name: member.size_bytes for member in archive_members(archive)}


def test_members_are_listed_without_folders(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", {"d/": b"", "d/one": b"12", "__MACOSX/d/._one": b"x", "d/.DS_Store": b"y"})
    assert sizes(archive) == {"d/one": 2, "__MACOSX/d/._one": 1, "d/.DS_Store": 1}
    assert read_member(archive, "d/one") == b"12"


def test_a_path_leads_into_an_archive_only_where_there_is_one(tmp_path: Path) -> None:
    packed(tmp_path / "a.ZIP", {"d/one": b"12"})
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "folder.zip" / "two").write_bytes(b"34")
    assert archive_of(tmp_path, "a.ZIP/d/one") == (tmp_path / "a.ZIP", "d/one")
    assert archive_of(tmp_path, "folder.zip/two") is None
    for path, content in (("a.ZIP/d/one", b"12"), ("folder.zip/two", b"34")):
        with open_landed(tmp_path, path) as handle:
            assert handle.read() == content


@pytest.mark.parametrize("name", ["../../one", "/etc/one", "C:\\one", "d/../../one", "..\\one"])
def test_a_member_that_points_out_of_the_archive_refuses_it(tmp_path: Path, name: str) -> None:
    assert refusal(packed(tmp_path / "a.zip", {name: b"1"})) == "unsafe_archive"
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip"]


def test_a_link_and_two_members_of_one_name_refuse_the_archive(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert refusal(tmp_path / "link.zip") == "unsafe_archive"
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.writestr("d/one", b"1")
        archive.writestr("d\\one", b"2")
    assert refusal(tmp_path / "twice.zip") == "unsafe_archive"


def test_an_archive_with_a_password_is_refused(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", {"one": b"1"})
    content = bytearray(archive.read_bytes())
    for beginning, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # general purpose flags, APPNOTE 4.3.7 and 4.3.12
        content[content.index(beginning) + flags] |= 1
    archive.write_bytes(content)
    assert refusal(archive) == "encrypted_archive"


def test_a_bomb_is_refused_by_its_directory_without_being_unpacked(tmp_path: Path) -> None:
    bomb = packed(tmp_path / "a.zip", {"one": b"\0" * 1_000_000}, compression=zipfile.ZIP_DEFLATED)
    content = bytearray(bomb.read_bytes())
    place = content.index(b"PK\x01\x02") + 24  # uncompressed size
    content[place : place + 4] = (3 << 30).to_bytes(4, "little")
    bomb.write_bytes(content)
    assert refusal(bomb) == "archive_too_large"


def test_a_member_cannot_grow_beyond_the_size_its_directory_tells(tmp_path: Path) -> None:
    bomb = packed(tmp_path / "a.zip", {"one": b"\0" * 1_000_000}, compression=zipfile.ZIP_DEFLATED)
    content = bytearray(bomb.read_bytes())
    place = content.index(b"PK\x01\x02") + 24
    content[place : place + 4] = (10).to_bytes(4, "little")
    bomb.write_bytes(content)
    assert refusal(bomb) == "damaged_member"


def test_damage_is_found_at_the_end_in_the_middle_and_where_there_is_no_archive(tmp_path: Path) -> None:
    whole = packed(tmp_path / "a.zip", {"one": bytes(range(256)) * 40, "two": b"2"}).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-30])
    (tmp_path / "text.zip").write_bytes(b"see you on Monday")
    (tmp_path / "flipped.zip").write_bytes(whole[:5000] + b"\xff\xff" + whole[5002:])
    assert {refusal(tmp_path / name) for name in ("cut.zip", "text.zip")} == {"broken_archive"}
    assert refusal(tmp_path / "flipped.zip") == "damaged_member"
    assert sizes(tmp_path / "flipped.zip") == {"one": 10240, "two": 1}
    assert read_member(tmp_path / "flipped.zip", "two") == b"2"


def test_a_compression_that_is_not_supported_refuses_its_member_alone(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", {"one": b"1", "two": b"2"})
    content = bytearray(archive.read_bytes())
    for beginning, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):  # APPNOTE 4.3.7 and 4.3.12
        content[content.index(beginning) + method] = 9
    archive.write_bytes(content)
    one, two = archive_members(archive)
    assert one.refusal is not None
    assert one.refusal[0] == "unsupported_compression"
    assert "method 9" in one.refusal[1]
    assert two == Member("two", 1)
    assert refusal(archive) == "unsupported_compression"


def test_one_locked_member_is_refused_alone(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", {"one": b"1", "two": b"2"})
    content = bytearray(archive.read_bytes())
    for beginning, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(beginning) + flags] |= 1
    archive.write_bytes(content)
    assert [member.refusal and member.refusal[0] for member in archive_members(archive)] == ["encrypted_member", None]


def test_japanese_names_are_read_as_windows_and_macos_write_them(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("XXXX/one", b"1")
    for encoding, length in (("cp932", 4), ("utf-8", 6)):
        name = "山田".encode(encoding)[:length] if encoding == "cp932" else None
        stem = name or "山".encode() + b"X"
        (tmp_path / "a.zip").write_bytes(buffer.getvalue().replace(b"XXXX", stem))
        assert list(sizes(tmp_path / "a.zip")) == [stem.decode(encoding) + "/one"]
        (tmp_path / "a.zip").unlink()
