"""Words of file names that name no person.

What lives here: the words that modalities, PACS and technologists give to films, which may be shown as they are. What
does not: finding identifiers and replacing words (`safe_paths`). A word that is not listed is taken for a name.
"""

import re

WORD = re.compile("(?:[^\\W_]|[\ue000-\uf8ff])+")  # with letters of the private use area, as surnames have them
_LISTED = """
    im img image images i film films scan series se ser study studies st instance file copy export cd disc dicom
    dicomdir dcm ima cr dx dr rg xr xray xp kv
    spine lspine tspine ls ts l t th lumbar thoracic thoracolumbar lumbosacral lat lateral ll rl l1 l2 l3 l4 l5 ap pa
    neutral flex flexion ext extension functional standing supine before after
    jpg jpeg png tif tiff bmp pdf txt csv tsv xls xlsx doc docx xml json toml zip tar gz db ini log html
    note notes readme new old normal fresh
    側面 前屈 後屈 中間位 正面 腰椎 胸椎 画像
"""
HARMLESS = frozenset(_LISTED.split())
# A word's own pseudonym, as `safe_paths` writes it.
REPLACED = re.compile(r"x[a-p]{8}")


def is_harmless(word: str) -> bool:
    """Return whether a word, up to four digits behind it aside, is listed; so few digits alone are harmless."""
    letters = re.sub(r"\d{1,4}$", "", word.casefold())
    return not letters or letters in HARMLESS or word.casefold() in HARMLESS or REPLACED.fullmatch(word) is not None
