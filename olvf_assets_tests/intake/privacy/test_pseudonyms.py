import hashlib
import hmac
import os
import pickle
import stat
import traceback
from datetime import date, timedelta
from pathlib import Path

import pydicom
import pytest

from olvf_assets.intake.privacy.pseudonyms import (
    SYNTHETIC_KEY,
    ImpossibleDateError,
    Pseudonymiser,
    PseudonymKeyError,
    make_key_file,
    pseudonym_key,
)

KEY = b"0123456789abcdef"


def test_a_patient_pseudonym_is_the_keyed_hash_of_institution_and_id() -> None:
    expected = hmac.new(KEY, b"patient|city|12345", hashlib.sha256).hexdigest()[:16]
    assert Pseudonymiser("city", KEY).patient(" 12345 ") == f"P{expected}"


def test_full_width_digits_name_the_same_patient() -> None:
    assert Pseudonymiser("city", KEY).patient("４７１１") == Pseudonymiser("city", KEY).patient("4711")


def test_dates_of_one_patient_keep_their_intervals() -> None:
    names, first = Pseudonymiser("city", KEY), date(2019, 4, 3)
    later = first + timedelta(days=400)
    assert names.shifted("1", later) - names.shifted("1", first) == timedelta(days=400)


def test_every_patient_s_dates_move_by_another_number_of_days_up_to_a_year_and_never_by_none() -> None:
    names, day = Pseudonymiser("city", KEY), date(2019, 4, 3)
    shifts = [(names.shifted(str(number), day) - day).days for number in range(20_000)]
    assert set(shifts) == set(range(-365, 366)) - {0}
    assert abs(sum(shifts) / len(shifts)) < 5
    assert [(Pseudonymiser("city", KEY).shifted(str(number), day) - day).days for number in range(9)] == shifts[:9]


def test_the_shift_depends_on_key_and_institution() -> None:
    day = date(2019, 4, 3)
    others = [Pseudonymiser("city", KEY), Pseudonymiser("town", KEY), Pseudonymiser("city", KEY[::-1])]
    assert len({each.shifted("1", day) for each in others}) == 3


def test_pseudonyms_differ_between_institutions_keys_and_kinds() -> None:
    city, town, other = Pseudonymiser("city", KEY), Pseudonymiser("town", KEY), Pseudonymiser("city", KEY[::-1])
    assert len({city.patient("1"), town.patient("1"), other.patient("1"), "P" + city.film("1")[1:]}) == 4


def test_a_uid_pseudonym_is_a_valid_uid_of_128_bits() -> None:
    uid = pydicom.uid.UID(Pseudonymiser("city", KEY).uid("1.2.3"))
    assert uid.is_valid
    assert uid.startswith("2.25.")
    assert int(uid.removeprefix("2.25.")) < 2**128


def test_the_key_is_not_shown_but_travels_to_worker_processes() -> None:
    names = Pseudonymiser("city", KEY)
    assert "0123" not in repr(names)
    assert pickle.loads(pickle.dumps(names)) == names


def test_synthetic_hospitals_use_the_public_key_everywhere(tmp_path: Path) -> None:
    assert pseudonym_key("institution_1", True, tmp_path) == SYNTHETIC_KEY


def test_a_real_hospital_needs_a_key_from_the_environment_or_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OLVF_PSEUDONYM_KEY", raising=False)
    with pytest.raises(PseudonymKeyError, match="set OLVF_PSEUDONYM_KEY"):
        pseudonym_key("city", False, tmp_path)
    path = make_key_file(tmp_path)
    from_file = pseudonym_key("city", False, tmp_path)
    assert from_file == path.read_text().strip().encode()
    assert len(from_file) == 64
    monkeypatch.setenv("OLVF_PSEUDONYM_KEY", "a secret of the hospital")
    assert pseudonym_key("city", False, tmp_path) == b"a secret of the hospital"
    monkeypatch.setenv("OLVF_PSEUDONYM_KEY", "short")
    with pytest.raises(PseudonymKeyError, match="has 5 characters"):
        pseudonym_key("city", False, tmp_path)


def test_a_key_file_is_made_once_for_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLVF_PSEUDONYM_KEY", raising=False)
    path = make_key_file(tmp_path)
    key = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert make_key_file(tmp_path).read_text() == key
    path.chmod(0o644)
    with pytest.raises(PseudonymKeyError, match="chmod 600"):
        pseudonym_key("city", False, tmp_path)


def key_file(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("OLVF_PSEUDONYM_KEY", raising=False)
    path = tmp_path / "pseudonym.key"
    path.write_bytes(content)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("content", [b"0123456789abcdef\r\n", b"\xef\xbb\xbf0123456789abcdef\n", b"  0123456789abcdef"])
def test_a_key_file_that_another_system_wrote_holds_the_same_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    key_file(tmp_path, content, monkeypatch)
    assert pseudonym_key("city", False, tmp_path) == KEY


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "has 0 characters"), (b"\n\n", "has 0 characters"), (b"secret" + b"\xff" * 20, "UTF-8")]
)
def test_a_key_file_without_a_key_is_named_and_nothing_of_it_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    path = key_file(tmp_path, content, monkeypatch)
    with pytest.raises(PseudonymKeyError, match=said) as caught:
        pseudonym_key("city", False, tmp_path)
    assert "secret" not in "".join(traceback.format_exception(caught.value))
    assert make_key_file(tmp_path).read_bytes() == content  # never replaced
    assert path.exists()


def test_a_folder_in_place_of_the_key_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLVF_PSEUDONYM_KEY", raising=False)
    (tmp_path / "pseudonym.key").mkdir()
    with pytest.raises(PseudonymKeyError, match="is not a file"):
        pseudonym_key("city", False, tmp_path)


def test_a_key_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = key_file(tmp_path, KEY, monkeypatch)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    if path.stat().st_uid == 0:  # root's key serves everybody
        assert pseudonym_key("city", False, tmp_path) == KEY
        os.chown(path, 4711, -1)
    with pytest.raises(PseudonymKeyError, match="belongs to another user"):
        pseudonym_key("city", False, tmp_path)


def test_a_key_in_the_environment_that_is_no_text_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLVF_PSEUDONYM_KEY", os.fsdecode(b"secret of the hospital \xff\xfe"))
    with pytest.raises(PseudonymKeyError, match="UTF-8") as caught:
        pseudonym_key("city", False, tmp_path)
    assert "secret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("day", [date(9999, 12, 31), date(9998, 1, 1), date(1, 1, 1), date(2, 12, 31)])
def test_a_placeholder_of_a_day_is_refused_whatever_the_key_would_move_it_by(day: date) -> None:
    for key in (b"one key of some length", b"another key of some length"):
        with pytest.raises(ImpossibleDateError, match=str(day.year)):
            Pseudonymiser("institution_1", key).shifted("A-1", day)
