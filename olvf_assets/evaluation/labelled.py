"""What of predictions counts in figures of merit: samples that somebody labelled.

What lives here: picking them, and the crops, films and patients that they are of. What does not: any figure. Light: no
numpy, for the tables' declarations name it.
"""

import polars as pl

PREDICTIONS = ("ensemble_predictions", "fold_predictions")
CROP, FILM, PATIENT = ["protocol", "institution", "crop_id"], ["institution", "film_id"], ["institution", "patient_id"]


def labelled(**tables: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return, of tables by name, the rows that figures of merit can rest on.

    Args:
        tables: of `ensemble_predictions` and `fold_predictions`, rows with a label; of `vertebra_crops`, those that the
            ensembles scored and somebody labelled; of `films` and `subjects`, those of these crops; others whole.
    """
    found = {
        name: frame.filter(pl.col("label").is_not_null()) if name in PREDICTIONS else frame
        for name, frame in tables.items()
    }
    if "vertebra_crops" in found:
        crops = found["vertebra_crops"].join(found["ensemble_predictions"], on=CROP, how="semi", maintain_order="left")
        found["vertebra_crops"] = crops
        for name, key in (("films", FILM), ("subjects", PATIENT)):
            if name in found:
                found[name] = found[name].join(crops, on=key, how="semi", maintain_order="left")
    return found


def labelled_test(**tables: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return what `labelled` does, of predictions those of the held-out test set alone."""
    return _of_dataset("test", tables)


def labelled_external(**tables: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return what `labelled` does, of predictions those of external hospitals alone."""
    return _of_dataset("external", tables)


def _of_dataset(dataset: str, tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    predicted = {name: tables[name].filter(dataset=dataset) for name in PREDICTIONS if name in tables}
    return labelled(**{**tables, **predicted})
