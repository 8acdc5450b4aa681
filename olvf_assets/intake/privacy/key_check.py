"""Which key made what the lake holds.

What lives here: one check value per real institution, a keyed digest of a constant that is kept beside the tables, and
the refusal of any other key. What does not: the key itself (`pseudonyms`), erasing (`storage/erasure.py`).

With another key each patient would get a second pseudonym, and films of one patient would be taken for two.
"""

from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser, PseudonymKeyError
from olvf_assets.storage.artifacts import ArtifactStore

FOLDER = "key_checks"
SUFFIX = ".check"


def require_same_key(names: Pseudonymiser, store: ArtifactStore) -> None:
    """Refuse a key other than the one that the real hospitals of the lake were taken in with; note it the first time.

    Raises:
        PseudonymKeyError: names the institutions that the lake holds under another key, and the way out.
    """
    if names.synthetic:
        return
    refuse_other_key(names, store)
    if names.institution not in _checks(store):
        store.write_text(check_file(names.institution), names.key_check() + "\n")


def refuse_other_key(names: Pseudonymiser, store: ArtifactStore) -> None:
    """Refuse as `require_same_key` does, and note nothing."""
    others = [institution for institution, check in _checks(store).items() if check != names.key_check()]
    if others:
        raise PseudonymKeyError(
            f"this key is not the one that {', '.join(others)} were taken in with: their patients would get second "
            f"pseudonyms. {way_out(others)}"
        )


def keyed_institutions(store: ArtifactStore) -> list[str]:
    """Return the real institutions that the lake holds something of, sorted."""
    return sorted(_checks(store))


def way_out(institutions: list[str]) -> str:
    """Return what helps when the key of these institutions is not at hand."""
    commands = " and ".join(f"`python -m olvf_assets forget {each}`" for each in institutions)
    return (
        "Restore the key from its copy (data/pseudonym.key or OLVF_PSEUDONYM_KEY). If it is lost for good, erase what "
        f"was made with it, {commands}, and take the films in anew"
    )


def check_file(institution: str) -> str:
    """Return where in the lake the check value of an institution lies."""
    return f"{FOLDER}/{institution}{SUFFIX}"


def _checks(store: ArtifactStore) -> dict[str, str]:
    """Return the check value by institution. An empty file, which a power cut leaves, says nothing."""
    found = {
        path.name.removesuffix(SUFFIX): store.read(path, lambda file: file.read_text().strip())
        for path in store.files(FOLDER, f"*{SUFFIX}")
    }
    return {institution: check for institution, check in found.items() if check}
