"""Broken `pacs.toml`, answers and change feeds by the hundred: what was meant, or an error that we meant.

`OLVF_FUZZ_SECONDS=600 python -m pytest olvf_assets_tests/intake/pacs/test_fuzz.py -k by_hand -s` goes on for so long.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode, encode
from urllib3 import HTTPResponse

from olvf_assets.intake.pacs import dicomweb, dimse
from olvf_assets.intake.pacs.answers import FILM_CLASSES, Odd, instances_of, is_uid, series_of_study
from olvf_assets.intake.pacs.errors import PacsError, PacsFileError, StoreFailedError
from olvf_assets.intake.pacs.pacs_file import read_pacs
from olvf_assets.intake.pacs.web import asked
from olvf_assets_tests.intake.pacs.peers import SITE, study_film, write_site
from olvf_assets_tests.intake.pacs.web_peer import _part as film_answer

SECRET = "Hanako1945"
SITE_FILE = f"""every_minutes = 5
[dicomweb]
url = "https://pacs.example/dicom-web"
login = "basic"
[orthanc]
url = "https://spine:{SECRET}@pacs.example"
[what]
since = 2026-01-01
modalities = ["CR", "DX"]
"""
WORDS = (
    b"", b"0", b"-1", b"1e400", b"nan", b"9" * 5000, b'"', b"'", b"\0", b"\n", b"[", b"]", b"{", b"}", b"=", b"\\",
    b"../../etc/passwd", b"1.2.3", b"null", b"true", b"\xff\xfe", "山田".encode(), b"password", b"9999-12-31", b":",
    b"-" * 3000, b"\r\n\r\n", b"--a-boundary-0f3c", b"[[[[", b"UI", b"\xff\xff\xff\xff",
)  # fmt: skip
EXAMPLES = 150  # of each kind in `make test`
ANSWER = {
    "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
    "0020000E": {"vr": "UI", "Value": ["1.2.3.4"]},
    "00080018": {"vr": "UI", "Value": ["1.2.3.4.5"]},
    "00080020": {"vr": "DA", "Value": ["20260310"]},
    "00201209": {"vr": "IS", "Value": [3]},
}


def broken(content: bytes, choose: random.Random) -> bytes:
    """Return content with some places changed, cut or repeated."""
    for _ in range(choose.randint(1, 5)):
        start = choose.randrange(len(content) + 1)
        end = min(len(content), start + choose.choice((0, 1, 2, 8, 40)))
        filling = choose.choice((choose.choice(WORDS), choose.randbytes(3), content[start:end] * 2))
        content = content[:start] + filling + content[end:]
    return content


class Answering:
    """A store that gives the same answers to every question."""

    def __init__(self, answers: list[dict[str, str]]) -> None:
        self.series = self.instances = lambda *_: answers


def look_at_answers(answers: list[dict[str, str]], folder: Path) -> None:
    """Take answers for what a store says of a study; whatever is taken is a UID."""
    write_site(folder, dicomweb={"url": "https://pacs.example"})
    wanted, odd = read_pacs(folder, SITE).what, Odd()
    store: Any = Answering(answers)
    for series in series_of_study(store, wanted, "1.2.3", None, odd):
        assert is_uid(series.uid)
        assert all(
            is_uid(each.uid) and each.sop_class in {"", *FILM_CLASSES} for each in instances_of(store, series, odd)
        )


def site_file(folder: Path, choose: random.Random) -> None:
    file = write_site(folder) / "pacs.toml"
    file.write_bytes(broken(SITE_FILE.encode(), choose))
    try:
        found = repr(read_pacs(folder, SITE))
    except PacsFileError as error:
        found = str(error)
    assert SECRET not in found


def response(content: bytes, kind: str) -> requests.Response:
    raw = HTTPResponse(BytesIO(content), headers={"Content-Type": kind}, status=200, preload_content=False)
    return requests.adapters.HTTPAdapter().build_response(requests.Request("GET", "https://pacs").prepare(), raw)


def web_answer(folder: Path, choose: random.Random) -> None:
    said = response(broken(json.dumps([ANSWER, ANSWER]).encode(), choose), "application/dicom+json")
    try:
        answers = asked(lambda: dicomweb._listed(lambda **_: said.json(), 0), "store", "dicomweb")
    except PacsError:
        return
    look_at_answers(answers, folder)


def web_film(folder: Path, choose: random.Random) -> None:
    _, headers, body = film_answer(study_film("one"))
    kind = broken(headers["Content-Type"].encode(), choose).decode("latin-1") if choose.random() < 0.5 else ""
    try:
        dicomweb._part(response(broken(body, choose), kind or headers["Content-Type"]))
    except StoreFailedError:
        return


def dimse_answer(folder: Path, choose: random.Random) -> None:
    answer = Dataset()
    answer.StudyInstanceUID, answer.SeriesInstanceUID, answer.SOPInstanceUID = "1.2.3", "1.2.3.4", "1.2.3.4.5"
    answer.StudyDate, answer.Modality, answer.NumberOfSeriesRelatedInstances = "20260310", "DX", 3
    content = encode(answer, is_implicit_vr=True, is_little_endian=True)
    assert content is not None
    try:
        decoded = decode(BytesIO(broken(content, choose)), True, True)
    except Exception:  # pynetdicom hands over no answer then
        return
    look_at_answers([dimse._plain(decoded)], folder)


KINDS: dict[str, Callable[[Path, random.Random], None]] = {
    each.__name__: each for each in (site_file, web_answer, web_film, dimse_answer)
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_broken_is_read_or_is_an_error_that_we_meant(kind: str, tmp_path: Path) -> None:
    for number in range(EXAMPLES):
        KINDS[kind](tmp_path, random.Random(number))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_by_hand_as_many_as_time_allows(kind: str, tmp_path: Path) -> None:
    end = time.monotonic() + float(os.environ.get("OLVF_FUZZ_SECONDS", "0"))
    count = 0
    while count == 0 or time.monotonic() < end:
        KINDS[kind](tmp_path, random.Random(2**33 + count))
        count += 1
    sys.stdout.write(f"{kind}: {count} inputs\n")
