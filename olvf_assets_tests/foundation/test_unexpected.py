"""Whatever goes wrong at the gate, the event log holds our words only."""

import errno
import json
import traceback
from pathlib import Path

import polars as pl
import pytest

from olvf_assets.foundation.errors import MachineError, OlvfError
from olvf_assets.foundation.unexpected import WHO_IS, UnexpectedError, told_without_content
from olvf_assets.intake.landing import archives

SECRET = "YAMADA"


def raised(what: object) -> Exception:
    """Return the exception that a call raises, with its traceback."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any of them
        what()  # type: ignore[operator]
    return caught.value


UNFORESEEN = {
    "a path": lambda: Path(f"/nowhere/{SECRET}.dcm").read_bytes(),
    "a cell": lambda: {}[SECRET],
    "bytes": lambda: (SECRET.encode() + b"\xff").decode("utf-8"),
    "a number": lambda: float(SECRET),
    "a table": lambda: pl.DataFrame({"a": [SECRET]}).cast(pl.Int64),
    "a text": lambda: json.loads("{" + SECRET),
    "an encoding": lambda: b"a".decode(SECRET),
    "a chain": lambda: archives.read_member(Path(f"/nowhere/{SECRET}.zip"), SECRET),
}


@pytest.mark.parametrize("what", UNFORESEEN)
def test_nothing_that_an_error_carries_is_told(what: str) -> None:
    told = told_without_content(raised(UNFORESEEN[what]), "subjects of city")
    with pytest.raises(OlvfError) as caught:
        raise told from None
    everything = "".join(traceback.format_exception(caught.value)) + repr(caught.value.args)
    assert SECRET not in everything.replace("SECRET", "")
    assert caught.value.__cause__ is None


def test_type_and_our_line_are_told() -> None:
    told = told_without_content(raised(lambda: archives.archive_members(None)), "subjects of city")  # type: ignore[arg-type]
    assert isinstance(told, UnexpectedError)
    assert not isinstance(told, MachineError)
    assert str(told).startswith("subjects of city: AttributeError at olvf_assets/intake/landing/archives.py:")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EMFILE])
def test_a_fault_of_the_machine_stays_one(code: int) -> None:
    told = told_without_content(OSError(code, "said", f"/landing/{SECRET}"), "subjects of city")
    assert isinstance(told, MachineError)
    assert errno.errorcode[code] in str(told)
    assert SECRET not in str(told)
    assert isinstance(told_without_content(MemoryError(SECRET), "subjects of city"), MachineError)


def test_our_own_errors_keep_their_words_and_say_once_who_tells_hidden_names() -> None:
    error = OlvfError("boxes/xabcdefgh.txt: draws L3 twice")
    assert told_without_content(error, "reader_boxes of city") is error
    told_without_content(error, "unmatched_boxes of city")
    assert str(error) == f"boxes/xabcdefgh.txt: draws L3 twice\n{WHO_IS}"
    assert str(told_without_content(OlvfError("sheet.csv: row 3"), "subjects of city")) == "sheet.csv: row 3"
