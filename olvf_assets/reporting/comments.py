"""What the columns of the warehouse mean, for whoever opens it with SQL.

What lives here: one line for each column name that does not explain itself; the same name means the same everywhere.
What does not: types, which each room's `tables.py` holds.
"""

COLUMN_COMMENTS = {
    "institution": "key of the hospital; institution_1 develops, the others validate externally",
    "protocol": "how crops were split: patient (no patient on two sides) or thesis (per crop)",
    "patient_id": "keyed pseudonym; the hospital's own id is not in this file",
    "film_id": "keyed pseudonym of the DICOM SOP instance UID",
    "film_date": "shifted by the patient's own number of days; says order and intervals within one patient only",
    "box_format": "how the box was handed in: yolo, voc or coco",
    "film_px_per_picture_px": "scale of the labelled picture; null where the file does not tell its size (yolo)",
    "crop_id": "film_id-level",
    "sample_id": "crop_id-r and the replica's number",
    "replica": "0: the crop itself; 1, 2, ...: augmented copies that balance the classes",
    "view": "neutral, flexion, extension or thoracic lateral radiograph",
    "level": "lumbar vertebra L1 to L5; all: taken together",
    "label": "consensus of the readers: normal, old or fresh fracture",
    "predicted": "class of the highest probability",
    "fold": "cross-validation fold 1 to 5; mean: average over the folds, or all folds together (ensemble_of_15)",
    "dataset": "test, validation or external",
    "model": "ensemble (three networks of a fold), ensemble_of_15 or one architecture",
    "positive_class": "the class against the other two; all: mean of the three",
    "metric": "what value is; false_discovery_rate = FP/(FP+TP), false_omission_rate = FN/(FN+TN)",
    "ci_low": "lower end of the 95 % interval",
    "ci_high": "upper end of the 95 % interval",
    "ci_method": "wald: the thesis's, all samples as independent; patient_bootstrap: crops once, patients resampled",
    "n_positive": "samples of the positive class; for all: summed over the classes",
    "n_negative": "samples of the other classes; for all: summed over the classes",
    "threshold": "called positive from this probability on; null at (0, 0) and on average curves",
    "x0_px": "left edge in pixels of the full film",
    "y0_px": "top edge in pixels of the full film, downwards",
    "x1_px": "right edge in pixels of the full film, exclusive",
    "y1_px": "bottom edge in pixels of the full film, exclusive",
    "pixel_mm": "edge of a pixel at the detector in millimetres",
    "section": "1 to 48: six rows of eight sections, row by row",
    "state": "used, excluded or quarantined; every unit is in exactly one",
    "image_path": "below the lake's folder of pictures",
    "pixel_sha256": "hash of shape and pixels",
    "mri_delay_days": "days from radiograph to MRI",
    "onset_to_film_days": "days from onset of pain to radiograph",
}
