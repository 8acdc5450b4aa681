"""Films that are there more than once, as their pixels tell.

What lives here: refusing an exposure that comes under two names, and a name under which two pictures come. What does
not: what headers alone tell of that (`headers`), decoding (`pixels`).
"""

from typing import Any

PICTURE_COLUMNS = ("image_path", "pixel_sha256", "voi", "voi_detail")
Rows = list[dict[str, Any]]


def refuse_other_versions(rows: Rows, films: Rows, found: Rows) -> None:
    """Refuse, in place, each film of whose SOP instance another file holds other pixels.

    Args:
        rows: of table `film_pixels`.
        films: rows of `dicom_headers`: those of `rows`, and behind them the other files of their SOP instances.
        found: what decoding gave, for each of `films`.
    """
    place_of = {row["film_id"]: place for place, row in enumerate(rows) if row["refusal"] is None}
    for film, result in zip(films[len(rows) :], found[len(rows) :], strict=True):
        place = place_of.get(film["film_id"])
        if place is None or "values_sha256" not in result:
            continue
        if result["values_sha256"] != found[place]["values_sha256"]:
            detail = f"the pixels differ from those of {film['path']}, the same SOP instance; keep the right file only"
            _refuse(rows[place], "several_versions", detail)


def refuse_equal_pictures(rows: Rows, films: Rows, found: Rows) -> None:
    """Refuse, in place, one exposure under two names: all when they name several patients, else all after the first.

    The stored values tell, or the picture: the same exposure may have been exported in another syntax or window.

    Args:
        rows: of table `film_pixels`.
        films: the same of `dicom_headers`, others behind them.
        found: what decoding gave, for each of `films`.
    """
    for digest in ("values_sha256", "pixel_sha256"):
        equal: dict[str, list[int]] = {}
        for place, row in enumerate(rows):
            if row["refusal"] is None:
                equal.setdefault(found[place][digest], []).append(place)
        for first, *others in equal.values():
            if len({films[place]["patient_id"] for place in (first, *others)}) > 1:
                detail = "the same picture is handed over under several patients; keep the right file only"
                refused = dict.fromkeys((first, *others), ("several_patients", detail))
            else:
                detail = f"the same picture as {rows[first]['path']} under another SOP instance"
                refused = dict.fromkeys(others, ("duplicate", detail))
            for place, (reason, said) in refused.items():
                _refuse(rows[place], reason, said)


def _refuse(row: dict[str, Any], reason: str, detail: str) -> None:
    row.update({"refusal": reason, "refusal_detail": detail} | dict.fromkeys(PICTURE_COLUMNS))
