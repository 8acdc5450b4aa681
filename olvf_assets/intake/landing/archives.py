"""ZIP archives in a landing folder, read where they lie.

What lives here: listing and reading the members of a hospital's ZIP files, and refusing archives and members that are
broken, locked or dangerous. Nothing is ever unpacked to a disk, so no member can land outside the folder. What does
not: what a member is (the stations beside this one).

The path of a member is the archive's path, a slash, and its name inside: `films/export.zip/0001/IM0001`.
"""

import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from olvf_assets.foundation.errors import OlvfError, is_of_the_machine
from olvf_assets.intake.landing.file_names import on_disk

ARCHIVE_SUFFIX = ".zip"
ARCHIVE_LETTERS = (b"PK\x03\x04", b"PK\x05\x06")  # the second: an empty archive
# A film of 10,000 x 10,000 pixels of 16 bit is 0.2 GB. Deflate reaches 1000 : 1, films 2 : 1, blank films 100 : 1.
LARGEST_MEMBER_BYTES = 1 << 30
LARGEST_RATIO, SMALL_BYTES = 200, 1 << 30
# Names in archives without the UTF-8 flag are in the code page of the machine that packed: macOS or Japanese Windows.
OLD_NAME_ENCODINGS = ("utf-8", "cp932")
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
ENCRYPTED = 0x1  # general purpose flag, APPNOTE 4.4.4
_PIECE_BYTES = 1 << 20
# What zipfile and its decompressors raise over damaged bytes; struct.error and IndexError of its own parser among them.
_READ_ERRORS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError, RuntimeError,
    LookupError,
)  # fmt: skip


class UnusableArchiveError(OlvfError):
    """A ZIP archive, or a member of one, that is not opened (internal; becomes a refusal). `reason` is the code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        """Return the detail, as messages show it."""
        return self.detail


class Member(NamedTuple):
    """A file in an archive.

    Attributes:
        name: inside the archive, with forward slashes.
        size_bytes: unpacked, as the archive's directory says.
        refusal: (reason, detail) of a member that cannot be unpacked, as the directory shows already.
    """

    name: str
    size_bytes: int
    refusal: tuple[str, str] | None = None


def is_archive(path: str) -> bool:
    """Return whether a file's name says that it is a ZIP archive."""
    return path.lower().endswith(ARCHIVE_SUFFIX)


def archive_members(archive: Path) -> list[Member]:
    """Return the files in a ZIP archive, from its directory alone; folders are left out.

    Raises:
        UnusableArchiveError: `broken_archive`, `encrypted_archive` (every member is), `archive_too_large` (a zip bomb
            among them), `unsafe_archive` (a member that points out of the archive, or two of one name).
    """
    members = _members(archive)
    if members and all(info.flag_bits & ENCRYPTED for info in members.values()):
        raise UnusableArchiveError("encrypted_archive", "the ZIP archive has a password; pack it without one")
    return [Member(name, info.file_size, _refusal(info)) for name, info in members.items()]


def _refusal(info: zipfile.ZipInfo) -> tuple[str, str] | None:
    if info.flag_bits & ENCRYPTED:
        return "encrypted_member", "this file of the archive has a password; pack it without one"
    if info.compress_type not in METHODS:
        what = f"compression method {info.compress_type} of ZIP is not supported; pack the file with Deflate"
        return "unsupported_compression", what
    return None


def member_digest(member: tuple[Path, str]) -> str:
    """Return the sha256 of a member (archive, name inside), read piece by piece.

    Raises:
        UnusableArchiveError: as `read_member`.
    """
    digest = sha256()
    for piece in _pieces(*member):
        digest.update(piece)
    return digest.hexdigest()


def read_member(archive: Path, name: str) -> bytes:
    """Return the content of one member.

    Raises:
        UnusableArchiveError: the archive cannot be used, or this member is damaged (`damaged_member`) or cannot be
            unpacked.
    """
    return b"".join(_pieces(archive, name))


def _pieces(archive: Path, name: str) -> Iterator[bytes]:
    """Yield a member's content; never more than a piece beyond the size that the directory promises."""
    members = _members(archive)
    if name not in members:
        raise UnusableArchiveError("broken_archive", "a file is not in the archive any more; take the folder in again")
    if refusal := _refusal(members[name]):
        raise UnusableArchiveError(*refusal)
    try:
        with _opened(archive).open(members[name]) as handle:
            while piece := handle.read(_PIECE_BYTES):
                yield piece
    except _READ_ERRORS as error:
        if isinstance(error, OSError) and is_of_the_machine(error):
            raise
        raise UnusableArchiveError(
            "damaged_member", "this file of the archive is damaged; copy or pack the archive again"
        ) from error


def archive_of(folder: Path, path: str) -> tuple[Path, str] | None:
    """Return (archive, name inside) when a relative posix path leads into a ZIP file, None for an ordinary file."""
    if ARCHIVE_SUFFIX + "/" not in path.lower():
        return None
    for parent in reversed(PurePosixPath(path).parents):
        if is_archive(parent.name) and (archive := on_disk(folder, str(parent))).is_file():
            return archive, path[len(str(parent)) + 1 :]
    return None


def open_landed(folder: Path, path: str) -> BinaryIO:
    """Open a file of a landing folder, in an archive or not, for reading and seeking.

    Raises:
        UnusableArchiveError: see `read_member`.
        OSError: the file cannot be opened.
    """
    inside = archive_of(folder, path)
    return on_disk(folder, path).open("rb") if inside is None else BytesIO(read_member(*inside))


def _opened(archive: Path) -> zipfile.ZipFile:
    status = archive.stat()
    return _directory(archive, (status.st_size, status.st_mtime_ns, status.st_ino))[0]


def _members(archive: Path) -> dict[str, zipfile.ZipInfo]:
    try:
        status = archive.stat()
        return _directory(archive, (status.st_size, status.st_mtime_ns, status.st_ino))[1]
    except PermissionError as error:
        raise UnusableArchiveError("unreadable", "the archive may not be read by this user") from error
    except _READ_ERRORS as error:
        if isinstance(error, OSError) and is_of_the_machine(error):
            raise
        raise UnusableArchiveError("broken_archive", "the ZIP archive cannot be read; copy or pack it again") from error


@lru_cache(maxsize=4)
def _directory(archive: Path, stamp: tuple[int, int, int]) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    """Return an archive opened, and its members by name; `stamp` makes a changed file another one."""
    opened = zipfile.ZipFile(archive)
    members: dict[str, zipfile.ZipInfo] = {}
    for info in opened.infolist():
        if info.is_dir():
            continue
        name = _name(info)
        parts = PurePosixPath(name).parts
        if ".." in parts or name.startswith("/") or (parts and parts[0].endswith(":")) or _is_link(info):
            raise UnusableArchiveError("unsafe_archive", "a member points out of the archive; pack the films again")
        if not parts:
            continue
        if name in members:
            raise UnusableArchiveError("unsafe_archive", "two members have one name; pack the films again")
        members[name] = info
    _judge_sizes([info.file_size for info in members.values()], stamp[0])
    return opened, members


def _judge_sizes(sizes: list[int], archive_bytes: int) -> None:
    limit = max(SMALL_BYTES, LARGEST_RATIO * archive_bytes)
    if max(sizes, default=0) > LARGEST_MEMBER_BYTES or sum(sizes) > limit:
        raise UnusableArchiveError(
            "archive_too_large",
            f"{archive_bytes} bytes would unpack to {sum(sizes)}: no archive of films; unpack it by hand if it is one",
        )


def _name(info: zipfile.ZipInfo) -> str:
    """Return the name of a member with forward slashes, in the encoding it was written in."""
    name = info.filename
    if not info.flag_bits & 0x800 and not name.isascii():
        name = next(_decoded(name.encode("cp437", errors="replace")), name)
    return name.replace("\\", "/")


def _decoded(name: bytes) -> Iterator[str]:
    for encoding in OLD_NAME_ENCODINGS:
        try:
            yield name.decode(encoding)
        except UnicodeDecodeError:
            continue


def _is_link(info: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(info.external_attr >> 16)
