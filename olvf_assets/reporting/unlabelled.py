"""Why there is no figure of accuracy where films have no label, in plain words.

What lives here: one sentence a hospital, for page and terminal. What does not: counting (SQL model `participant_flow`).
"""

import polars as pl

from olvf_assets.reporting.drawing import readable

NO_LABEL = "no_label"
CLASS_COUNTS = ("n_normal", "n_old", "n_fresh")


def why_no_accuracy(participant_flow: pl.DataFrame) -> list[str]:
    """Return a sentence for each hospital of which some or all patients have no label, by name.

    Args:
        participant_flow: table of that name.
    """
    sentences = []
    for part in participant_flow.filter(unit="patient").sort("institution").partition_by("institution"):
        name, unread = readable(part["institution"][0]), int(part.filter(reason=NO_LABEL)["n"].sum())
        if not unread:
            continue
        if not part.select(pl.sum_horizontal(pl.col(CLASS_COUNTS).sum())).item():
            sentences.append(
                f"{name}: there is no accuracy, since no reader's labels were handed over for any of its {unread} "
                "patients with films; they are scored (see worklist and patient_predictions) and get figures once a "
                "sheet readers comes."
            )
        else:
            sentences.append(
                f"{name}: {unread} of {int(part['n'].sum())} patients have no reader's labels; they are scored and "
                "count in no figure."
            )
    return sentences
