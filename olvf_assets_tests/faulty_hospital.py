"""A hospital whose folder holds what real ones were seen to hand over, each member with the state it must end in.

The good films are the phantom's, on small plates; every fault is a copy of one, with an instance UID and a grain
of its own so that none counts as a duplicate. `python -m olvf_assets_tests.faulty_hospital FOLDER` writes one by hand.
"""

import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import count
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from olvf_assets.intake.landing.file_names import text_of
from olvf_assets.phantom.hospital import RECORD_FILE, TRUTH_FILE, write_hospital
from olvf_assets.phantom.settings import PhantomSettings, SyntheticInstitution
from olvf_assets_tests.planted_hospital import THREE_FILMS

States = dict[str, str]
Change = Callable[[Dataset], object]
_seeds = count()


def write_sound_hospital(folder: Path, seed: int = 1) -> Path:
    """Write a hospital of three patients with a good film each, boxes and sheets, as if nobody had made it up."""
    site = SyntheticInstitution(
        role="external", patients_normal=0, patients_fresh=2, patients_old=1, excluded_fresh={}, excluded_old={},
        images=THREE_FILMS, reread_patients=0, plate_mm=(120.0, 170.0), pixel_mm=0.4,
    )  # fmt: skip
    write_hospital(folder, folder.name, PhantomSettings(institutions={folder.name: site}), seed=seed, workers=1)
    for own in (RECORD_FILE, TRUTH_FILE):
        (folder / own).unlink()
    for boxes in (folder / "boxes").glob("P*.txt"):  # vertebrae beyond the small plate have boxes without height
        drawn = [line for line in boxes.read_text().splitlines() if float(line.split()[4]) > 0.005]
        boxes.write_text("\n".join(drawn) + "\n")
    return folder


def write_faulty_hospital(folder: Path) -> States:
    """Write a sound hospital and, beside its good files, faulty ones; return {path: state that it must end in}."""
    write_sound_hospital(folder)
    states: States = dict.fromkeys((path.relative_to(folder).as_posix() for path in folder.rglob("*.dcm")), "film")
    states |= dict.fromkeys(("institution.toml", "subjects.csv", "readers.csv", "conditions.csv"), "sheet")
    states |= dict.fromkeys((path.relative_to(folder).as_posix() for path in folder.rglob("*.txt")), "boxes")
    states["boxes/classes.txt"] = "sheet"
    original = sorted(folder.rglob("*.dcm"))[0]
    for name, state, content in (*_values(original), *_pixels(original), *_bytes(original), *_others(original)):
        path = folder / "films" / "faults" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        states[f"films/faults/{name}"] = state
    states |= _archives(folder / "films", original)
    states |= _paths(folder, original)
    return states


def copy_of(original: Path, change: Change | None = None) -> Dataset:
    """Return a film with an instance UID and a grain of its own, changed."""
    film = pydicom.dcmread(original)
    film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    grain = np.random.default_rng(next(_seeds)).integers(0, 32, film.pixel_array.shape)
    film.PixelData = np.minimum(film.pixel_array + grain, 16383).astype(np.uint16).tobytes()
    if change is not None:
        change(film)
    return film


def content(film: Dataset, **options: bool) -> bytes:
    """Return a data set as the bytes of a file."""
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, film, **(options or {"enforce_file_format": True}))
    return buffer.getvalue()


def raw(film: Dataset, keyword: str, value: bytes) -> bytes:
    """Return a film's file in which an attribute (of a short form VR) holds these bytes, whatever its VR allows."""
    whole, tag = content(film), pydicom.tag.Tag(keyword)
    at = whole.index(struct.pack("<HH", tag.group, tag.element), 132 + 12)
    length = struct.unpack_from("<H", whole, at + 6)[0]
    value += b" " * (len(value) % 2)
    return whole[: at + 6] + struct.pack("<H", len(value)) + value + whole[at + 8 + length :]


def _values(original: Path) -> Iterator[tuple[str, str, bytes]]:
    """Odd values of attributes: what the study does not need costs no film."""
    for keyword, value in (
        ("KVP", b"85,0"), ("KVP", b"ANONYMIZED"), ("DistanceSourceToDetector", b"1100 mm"),
        ("ImagerPixelSpacing", b"0\\0"), ("AcquisitionDate", b"00010101"), ("AcquisitionDate", b"99991231"),
        ("BodyPartExamined", b"LUMBAR SPINE LAT"), ("BodyPartExamined", b"L-SPINE LAT"), ("PatientAge", b"old"),
        ("ExposureTime", b"389.5 ms"), ("WindowCenter", b"n/a"), ("SeriesTime", b"9:14"),
    ):  # fmt: skip
        yield (
            f"{keyword}_{value.decode().replace(chr(92), '_').replace(' ', '_')}.dcm",
            "film",
            raw(copy_of(original), keyword, value),
        )
    yield "other_patient.dcm", "quarantined", content(copy_of(original, lambda film: _set(film, PatientID="nobody")))
    yield "frontal.dcm", "quarantined", content(copy_of(original, _frontal))


def _set(film: Dataset, **values: object) -> None:
    for keyword, value in values.items():
        setattr(film, keyword, value)


def _frontal(film: Dataset) -> None:
    words = {"SeriesDescription": "L-SPINE AP", "ProtocolName": "L-Spine AP"}
    _set(film, ViewPosition="AP", PatientOrientation=["L", "F"], **words)
    del film.ViewCodeSequence


def _pixels(original: Path) -> Iterator[tuple[str, str, bytes]]:
    """Pictures that are not what their header says."""
    whole = copy_of(original)
    for syntax in (RLELossless, JPEG2000Lossless, JPEGLSLossless):
        compressed = copy_of(original)
        compressed.compress(syntax, generate_instance_uid=False)
        yield f"{syntax.name.split()[0]}_{syntax.name.split()[1]}.dcm".replace(":", ""), "film", content(compressed)
    yield "bits.dcm", "quarantined", content(copy_of(original, lambda film: _set(film, BitsStored=12, HighBit=11)))
    yield (
        "two_exposures.dcm",
        "quarantined",
        content(copy_of(original, lambda film: _set(film, PixelData=film.PixelData + film.PixelData[::-1]))),
    )
    yield (
        "two_frames.dcm",
        "quarantined",
        content(copy_of(original, lambda film: _set(film, NumberOfFrames=2, PixelData=film.PixelData * 2))),
    )
    yield "short.dcm", "quarantined", content(whole)[:-50_000]
    yield (
        "black.dcm",
        "quarantined",
        content(copy_of(original, lambda film: _set(film, PixelData=bytes(len(film.PixelData))))),
    )
    hollow = bytearray(content(copy_of(original)))
    hollow[1 << 17 :] = bytes(len(hollow) - (1 << 17))
    yield "never_copied.dcm", "quarantined", bytes(hollow)
    half = copy_of(original)
    half.compress(JPEGLSLossless, generate_instance_uid=False)
    (frame,) = generate_frames(half.PixelData, number_of_frames=1)
    half.PixelData = encapsulate([frame[: len(frame) // 2] + b"\xff\xd9"])
    yield "half_jpeg_ls.dcm", "quarantined", content(half)
    lying = copy_of(original)
    lying.compress(JPEG2000Lossless, generate_instance_uid=False)
    (frame,) = generate_frames(lying.PixelData, number_of_frames=1)
    at = frame.index(b"\xff\x51") + 6  # SIZ: Xsiz and Ysiz follow Lsiz and Rsiz
    lying.PixelData = encapsulate([frame[:at] + struct.pack(">II", 32_000, 32_000) + frame[at + 8 :]])
    yield "lying_jpeg2000.dcm", "quarantined", content(lying)


def _bytes(original: Path) -> Iterator[tuple[str, str, bytes]]:
    """Files whose encoding is not what they say, or that unpack to more than a machine holds."""
    film = copy_of(original)
    explicit = content(film)
    film.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    implicit = content(film, implicit_vr=True, little_endian=True)
    told = b"1.2.840.10008.1.2\x00"
    says_explicit = bytearray(implicit)
    at = implicit.index(told)
    says_explicit[at - 2 : at + len(told)] = struct.pack("<H", 20) + b"1.2.840.10008.1.2.1\x00"
    group = implicit.index(b"\x02\x00\x00\x00UL\x04\x00") + 8
    says_explicit[group : group + 4] = struct.pack("<I", struct.unpack_from("<I", implicit, group)[0] + 2)
    yield "meta_says_explicit.dcm", "film", bytes(says_explicit)
    unknown = content(copy_of(original))
    yield (
        "unknown_vr.dcm",
        "film",
        unknown.replace(b"\x10\x00\x20\x10LO", b"\x10\x00\x20\x10LO").replace(
            b"\x18\x00\x20\x10LO", b"\x18\x00\x20\x10QQ", 1
        ),
    )
    yield "cut_header.dcm", "quarantined", explicit[:700]
    yield "cut_pixels.dcm", "quarantined", explicit[: len(explicit) // 2]
    yield "empty.dcm", "quarantined", b""
    yield "letter.dcm", "quarantined", b"Dear colleague, the films follow on Monday." * 20
    yield "zeros.dcm", "quarantined", bytes(5000)
    yield "random.dcm", "quarantined", b"\0" * 128 + b"DICM" + np.random.default_rng(5).bytes(5000)
    deflated = copy_of(original)
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    del deflated.PixelData
    head = content(deflated)
    start = 132 + 12 + struct.unpack_from("<I", head, 140)[0]
    bomb = zlib.decompress(head[start:], -zlib.MAX_WBITS) + b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", 0xF0000000)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    squeezed = packer.compress(bomb) + b"".join(packer.compress(bytes(1 << 24)) for _ in range(60)) + packer.flush()
    yield "deflated_bomb.dcm", "quarantined", head[:start] + squeezed


def _others(original: Path) -> Iterator[tuple[str, str, bytes]]:
    """What lies beside films."""
    yield "Thumbs.db", "ignored", b"\xd0\xcf\x11\xe0"
    yield ".DS_Store", "ignored", b"Bud1"
    yield "copying.dcm.part", "ignored", original.read_bytes()[:1000]
    yield "report.pdf", "quarantined", b"%PDF-1.4 a letter"
    yield "picture.png", "quarantined", b"\x89PNG\r\n\x1a\n"


def _archives(films: Path, original: Path) -> States:
    def packed(name: str, **members: bytes) -> bytearray:
        with zipfile.ZipFile(films / name, "w") as archive:
            for each, inside in members.items():
                archive.writestr(f"{each}.dcm", inside)
        return bytearray((films / name).read_bytes())

    one, two = content(copy_of(original)), content(copy_of(original))
    flipped = packed("flipped.zip", one=one, two=two)
    flipped[len(one) // 2] ^= 0x10
    (films / "flipped.zip").write_bytes(flipped)
    one, two = content(copy_of(original)), content(copy_of(original))
    method = packed("method9.zip", one=one, two=two)
    for beginning, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        method[method.index(beginning) + at] = 9
    (films / "method9.zip").write_bytes(method)
    packed("locked.zip", one=one)
    locked = bytearray((films / "locked.zip").read_bytes())
    for beginning, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(beginning) + at] |= 1
    (films / "locked.zip").write_bytes(locked)
    (films / "cut.zip").write_bytes(packed("cut.zip", one=one)[:-30])
    with zipfile.ZipFile(films / "lying.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one.dcm", bytes(50_000_000))
    lying = bytearray((films / "lying.zip").read_bytes())
    at = lying.index(b"PK\x01\x02") + 24
    lying[at : at + 4] = struct.pack("<I", 1000)
    (films / "lying.zip").write_bytes(lying)
    inside = {
        "flipped.zip": ("quarantined", "film"), "method9.zip": ("quarantined", "film"), "lying.zip": ("quarantined",),
    }  # fmt: skip
    states: States = {f"films/{name}": "archive" for name in inside}
    states |= {"films/locked.zip": "quarantined", "films/cut.zip": "quarantined"}
    for name, each in inside.items():
        states |= {f"films/{name}/{place}.dcm": state for place, state in zip(("one", "two"), each, strict=False)}
    return states


def _paths(folder: Path, original: Path) -> States:
    """Links, times and names that file systems allow."""
    films, elsewhere = folder / "films", folder.with_name(f"{folder.name} elsewhere")
    elsewhere.mkdir()
    (elsewhere / "linked.dcm").write_bytes(content(copy_of(original)))
    (films / "link").symlink_to(elsewhere)
    (films / "back").symlink_to(folder)
    (films / "nowhere.dcm").symlink_to("gone.dcm")
    os.mkfifo(films / "pipe.dcm")
    (films / "from_2099.dcm").write_bytes(content(copy_of(original)))
    os.utime(films / "from_2099.dcm", (4_070_908_800, 4_070_908_800))
    (films / "deep" / "er").mkdir(parents=True)
    (films / "deep" / "er" / "no ending").write_bytes(content(copy_of(original)))
    shift_jis = os.fsdecode("山田.dcm".encode("cp932"))
    (films / shift_jis).write_bytes(content(copy_of(original)))
    same, other = copy_of(original), copy_of(sorted(films.rglob("PH*.dcm"))[1])
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = same.SOPInstanceUID
    (films / "patient_one.dcm").write_bytes(content(same))
    (films / "patient_two.dcm").write_bytes(content(other))
    (folder / "boxes" / "nobody.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (folder / "boxes" / f"{original.stem}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return {
        "films/link/linked.dcm": "film", "films/back/": "ignored", "films/nowhere.dcm": "quarantined",
        "films/pipe.dcm": "quarantined", "films/from_2099.dcm": "film", "films/deep/er/no ending": "film",
        f"films/{text_of(shift_jis)}": "film",
        "films/patient_one.dcm": "quarantined", "films/patient_two.dcm": "quarantined",
        "boxes/nobody.txt": "quarantined", f"boxes/{original.stem}.png": "ignored",
    }  # fmt: skip


if __name__ == "__main__":
    write_faulty_hospital(Path(sys.argv[1]))
