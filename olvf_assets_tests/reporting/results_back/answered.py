"""A hospital of three small films that detector and networks have answered on: one resolved, two not."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydicom.dataset import Dataset

from olvf_assets.attention.tables import CROP_ATTENTION
from olvf_assets.classification.tables import ENSEMBLE_PREDICTIONS
from olvf_assets.crops.tables import DETECTED_CROPS
from olvf_assets.detection.tables import DETECTED_FILMS, DETECTIONS
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.privacy.safe_paths import path_names
from olvf_assets.reporting.results_back.findings import Findings, findings_of
from olvf_assets.reporting.results_back.hospital import Outcome, write_results
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.intake.samples import film, headers, hospital, pixels

NAMES = Pseudonymiser("institution_1", b"a key for tests only", synthetic=False)
DETECTOR, CLASSIFIERS = "d" * 64, "c" * 64
LEVELS = ("L1", "L2", "L4")
BOXES = {level: (3.25, 2.0 + 12 * number, 14.5, 10.0 + 12 * number) for number, level in enumerate(LEVELS)}
P = {"L1": (0.7, 0.2, 0.1), "L2": (0.1234567890123, 0.2, 0.6765432109877)}  # normal, old, fresh; L4 was not asked
STATES = {"one": "resolved", "two": "ambiguous", "three": "nothing_found"}
JAPANESE = {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Hanako=山田^花子=やまだ^はなこ"}


def named(name: str, **changes: Any) -> Dataset:
    """Return a film with all that a study says, of a patient with a Japanese name."""
    number = sum(map(ord, name))
    said = {
        "PatientID": "A-2" if name == "three" else "A-1", "StudyInstanceUID": f"1.2.3.9.{number}",
        "SeriesInstanceUID": f"1.2.3.9.{number}.1", "StudyTime": "101112", "StudyID": "S7", "PatientSex": "F",
        "ReferringPhysicianName": "Suzuki^Ichiro", "PatientOrientation": ["P", "F"], "StudyDescription": "L-SPINE LAT",
    }  # fmt: skip
    made = film(name, **(said | JAPANESE))
    for keyword, value in changes.items():
        if value is None:
            delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    return made


@dataclass
class Answered:
    """Landing folder, store and tables; `write` writes the objects.

    `place` is the landing folder below the root; its name is the institution.
    """

    root: Path
    films: dict[str, Dataset] = field(default_factory=lambda: {name: named(name) for name in STATES})
    place: str = "institution_1"
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.landing = self.root / self.place
        self.landing.parent.mkdir(parents=True, exist_ok=True)
        hospital(self.root, {f"{name}.dcm": each for name, each in self.films.items()}).rename(self.landing)
        self.names = Pseudonymiser(self.landing.name, NAMES.key)
        self.store = ArtifactStore(self.root / "lake")
        self.ids = {name: self.names.film(each.SOPInstanceUID) for name, each in self.films.items()}
        self.out = self.root / "results" / self.landing.name
        self.take_in()

    def take_in(self) -> None:
        """Read headers and pixels, and make the tables that follow from them."""
        head, decoded = headers(self.landing, self.names), pixels(self.landing, self.root, names=self.names)
        columns = ["institution", "path", "film_id", "image_path"]
        films = decoded.select(columns).join(head.select("path", "patient_id"), on="path")
        own = {"protocol": "patient", "institution": self.landing.name}
        states = [own | {"film_id": self.ids[name], "state": state, "detector_sha256": DETECTOR}
                  for name, state in STATES.items() if name in self.ids]  # fmt: skip
        crop, _ = self.store.save_image(np.full((14, 16), 90, np.uint8))
        heat, _ = self.store.save_image(np.arange(224, dtype=np.uint8).reshape(14, 16))
        rows: dict[str, list[dict[str, Any]]] = {"detections": [], "crops": [], "predictions": [], "maps": []}
        for level, box in BOXES.items():
            about = own | {"film_id": self.ids["one"], "crop_id": f"{self.ids['one']}-{level}", "level": level}
            corners = dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), box, strict=True))
            about |= {"image_path": crop, "detector_sha256": DETECTOR, "confidence": 0.5}
            rows["detections"].append(about | corners)
            whole = {name: float(round(edge)) for name, edge in corners.items()}
            rows["crops"].append(about | whole | {"scale": 1.0, "pad_left_px": 2, "pad_top_px": 3})
            if level in P:
                normal, old, fresh = P[level]
                predicted = ("normal", "old", "fresh")[int(np.argmax(P[level]))]
                about |= {"model": "ensemble_of_15", "fold": "mean", "replica": 0, "weights_sha256": CLASSIFIERS}
                rows["predictions"].append(
                    about | {"p_normal": normal, "p_old": old, "p_fresh": fresh, "predicted": predicted}
                )
                rows["maps"].append(about | {"architecture": "resnet50", "fold": 3, "map_path": heat})
        schemas = {"detections": DETECTIONS, "crops": DETECTED_CROPS, "predictions": ENSEMBLE_PREDICTIONS,
                   "maps": CROP_ATTENTION}  # fmt: skip
        self.tables = {
            "films": films,
            "dicom_headers": head,
            "detected_films": pl.DataFrame(states, schema=DETECTED_FILMS),
            **{
                name: pl.DataFrame([{each: row.get(each) for each in schema} for row in rows[name]], schema=schema)
                for name, schema in schemas.items()
            },
        }

    def findings(self, *, only_predicted: bool = False) -> list[Findings]:
        return findings_of(self.landing.name, protocol="patient", only_predicted=only_predicted, **self.tables)

    def write(self, *, dry_run: bool = False) -> Outcome:
        return write_results(
            self.findings(), self.landing, self.out, self.store, self.names, path_names(self.landing, self.names),
            dry_run=dry_run, report=self.said.append,
        )  # fmt: skip

    def predict(self, level: str, **p: float) -> None:
        """Let the networks say something else of a level of film one."""
        of_level = pl.col("level") == level
        changed = {name: pl.when(of_level).then(value).otherwise(pl.col(name)) for name, value in p.items()}
        self.tables["predictions"] = self.tables["predictions"].with_columns(**changed)

    def file(self, name: str, kind: str) -> Path:
        """Return the one file of a kind (sr, sc) of a film."""
        (found,) = self.out.glob(f"{self.ids[name]}.*.{kind}.dcm")
        return found
