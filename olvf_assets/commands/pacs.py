"""A site's image store from the command line: try the connection, fetch what is new, say how it stands.

What lives here: what a person is told. What does not: how it is done (`intake.pacs`), when it happens by itself
(`orchestration/pacs.py`).
"""

from collections.abc import Callable

from olvf_assets.commands.hospitals import make_key_if_needed, register_institutions, study_at_hand
from olvf_assets.intake.pacs.site import site_status, test_site
from olvf_assets.orchestration.pacs import poll_institution


def try_out(institution: str) -> list[str]:
    """Return a line for each thing of a site's connection that works.

    Raises:
        PacsError: says which does not, and the way out.
    """
    return test_site(study_at_hand().data, institution)


def poll(institution: str, report: Callable[[str], None], *, whole: bool, again: bool, wait: bool) -> str:
    """Fetch what is new in a site's image store, register the site, and return a line that says what came of it.

    Raises:
        OlvfError: as `orchestration.pacs.poll_institution`; PseudonymKeyError: the lake's key is not at hand.
    """
    study = study_at_hand()
    if (made := make_key_if_needed(institution, study)) is not None:
        report(f"A key for pseudonyms was made: {made}. Keep a copy of it in a safe place.")
    found = poll_institution(study, institution, report, whole=whole, again=again, wait=wait)
    register_institutions()
    return found.described()


def status(institution: str) -> list[str]:
    """Return lines that say how a site stands.

    Raises:
        PacsFileError: its `pacs.toml` is missing or not understood.
    """
    return site_status(study_at_hand().data, institution)
