"""A film's findings as a DICOM structured report (TID 1500, Comprehensive SR).

What lives here: which item of the report says what. What does not: the findings (`findings.py`), the patient
(`film_header.py`), when a report supersedes another (`versions.py`).

One measurement group a vertebra: its level as finding site, its box as a closed polyline on the film, the class, the
probability of each class, which weights found and judged it. One group about the film says whether its levels could be
told, also where they could not: then that is the report. Its region is the whole film: OHIF opens no report in which a
group has none. Levels are coded in SNOMED CT and probability in DCM, as
pydicom's dictionary has them; our own words bear the scheme 99OLVF.
"""

from collections.abc import Sequence

import numpy as np
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    ImageRegion,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForRegion,
    TrackingIdentifier,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ComprehensiveSRStorage, SecondaryCaptureImageStorage

from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.reporting.results_back.equipment import (
    MANUFACTURER,
    PRODUCT,
    RESEARCH_ONLY,
    SCHEME,
    Identity,
    date,
    equipment,
    made_by,
)
from olvf_assets.reporting.results_back.film_header import FilmHeader
from olvf_assets.reporting.results_back.findings import Findings, Vertebra

SERIES_NUMBER = 9901
SITES = {f"L{number}": getattr(codes.SCT, f"L{number}Vertebra") for number in range(1, 6)}
CLASS = CodedConcept("CLASS", SCHEME, "Class of the vertebra")
CLASS_MEANINGS = {"normal": "Normal", "old": "Old osteoporotic fracture", "fresh": "Fresh osteoporotic fracture"}
CLASS_CODES = {name: CodedConcept(name.upper(), SCHEME, meaning) for name, meaning in CLASS_MEANINGS.items()}
NOT_CLASSIFIED = CodedConcept("NOT_CLASSIFIED", SCHEME, "Not classified")
PROBABILITIES = {
    name: CodedConcept(f"P_{name.upper()}", SCHEME, f"Probability: {meaning}")
    for name, meaning in CLASS_MEANINGS.items()
}
CONFIDENCE = CodedConcept("LEVEL_CONFIDENCE", SCHEME, "Confidence of the detector in the level")
INTENDED_USE = CodedConcept("INTENDED_USE", SCHEME, "Intended use")
RESEARCH = CodedConcept("RESEARCH_ONLY", SCHEME, RESEARCH_ONLY)
LEVELS_TOLD = CodedConcept("LEVELS_TOLD", SCHEME, "Whether the lumbar levels could be told")
STATES = {
    "resolved": CodedConcept("RESOLVED", SCHEME, "Levels told"),
    "ambiguous": CodedConcept("AMBIGUOUS", SCHEME, "Not told: another naming is nearly as likely"),
    "nothing_found": CodedConcept("NOTHING_FOUND", SCHEME, "Not told: no vertebra was found"),
}


def structured_report(findings: Findings, film: FilmHeader, identity: Identity, names: Pseudonymiser) -> Dataset:
    """Return the report of one film, with the film's patient and study.

    Args:
        findings: of the film.
        film: its identifiers.
        identity: UIDs and time of this version; a version before it is named as predecessor, and the picture of this
            version as evidence beside the film.
        names: makes the UIDs of what the report tracks.
    """
    image = film.reference()
    about_film = PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(names.uid(f"results film {findings.film_id}"), "film"),
        referenced_region=_region((0, 0, film.width_px, film.height_px), film),
        algorithm_id=_detector(findings),
        finding_sites=[FindingSite(codes.SCT.LumbarSpine)],
        qualitative_evaluations=[
            QualitativeEvaluation(INTENDED_USE, RESEARCH),
            QualitativeEvaluation(LEVELS_TOLD, STATES[findings.state]),
        ],
    )
    groups = [_vertebra(findings, each, film, names) for each in findings.vertebrae]
    report = MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(
                observer_type=codes.DCM.Device,
                observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
                    uid=names.uid("results observer"), name=PRODUCT, manufacturer_name=MANUFACTURER, model_name=PRODUCT
                ),
            )
        ),
        procedure_reported=codes.SCT.PlainRadiography,
        imaging_measurements=[about_film, *groups],
        title=codes.DCM.ImagingMeasurementReport,
    )
    made = ComprehensiveSR(
        evidence=[image, *_picture(film, identity)],
        content=report,
        series_instance_uid=identity.report_series_uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=identity.report_uid,
        is_complete=True,
        previous_versions=_predecessors(film, identity),
        coding_schemes=[
            CodingSchemeIdentificationItem(SCHEME, name=f"Words of {PRODUCT}", responsible_organization=MANUFACTURER)
        ],
        **equipment(identity, "OLVF findings"),
    )
    date(made, identity)
    film.put_into(made)
    return made


def _vertebra(
    findings: Findings, vertebra: Vertebra, film: FilmHeader, names: Pseudonymiser
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    measurements = [Measurement(CONFIDENCE, vertebra.confidence, codes.UCUM.NoUnits)]
    if vertebra.predicted is not None:
        likeliest = vertebra.probabilities[vertebra.predicted]
        measurements.append(Measurement(codes.DCM.Probability, likeliest, codes.UCUM.NoUnits))
        measurements += [
            Measurement(PROBABILITIES[name], vertebra.probabilities[name], codes.UCUM.NoUnits) for name in CLASSES
        ]
    judged = NOT_CLASSIFIED if vertebra.predicted is None else CLASS_CODES[vertebra.predicted]
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            names.uid(f"results vertebra {findings.film_id} {vertebra.level}"), vertebra.level
        ),
        referenced_region=_region(vertebra.box_px, film),
        algorithm_id=_detector(findings) if vertebra.predicted is None else _classifiers(findings),
        finding_sites=[FindingSite(SITES[vertebra.level])],
        measurements=measurements,
        qualitative_evaluations=[QualitativeEvaluation(CLASS, judged)],
    )


def _region(box_px: tuple[float, float, float, float], film: FilmHeader) -> ImageRegion:
    x0, y0, x1, y1 = box_px
    return ImageRegion(
        graphic_type="POLYLINE",
        graphic_data=np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]),
        source_image=SourceImageForRegion(film.sop_class_uid, film.sop_instance_uid),
    )


def _detector(findings: Findings) -> AlgorithmIdentification:
    return _algorithm("OLVF detector of lumbar levels", findings.detector_sha256, made_by())


def _classifiers(findings: Findings) -> AlgorithmIdentification:
    box = f"box found by weights sha256 {findings.detector_sha256}"
    return _algorithm("OLVF ensemble of 15 classifiers", str(findings.classifiers_sha256), [*made_by(), box])


def _algorithm(name: str, weights_sha256: str, parameters: Sequence[str]) -> AlgorithmIdentification:
    return AlgorithmIdentification(
        name=name,
        version=f"weights sha256 {weights_sha256}",
        parameters=parameters,
        family=codes.DCM.ArtificialIntelligence,
        manufacturer=MANUFACTURER,
    )


def _picture(film: FilmHeader, identity: Identity) -> list[Dataset]:
    """Return the picture of this version, if there is one, as the report refers to it."""
    if identity.picture_uid is None:
        return []
    picture = film.reference()
    picture.SOPClassUID, picture.SOPInstanceUID = SecondaryCaptureImageStorage, identity.picture_uid
    picture.SeriesInstanceUID = identity.picture_series_uid
    return [picture]


def _predecessors(film: FilmHeader, identity: Identity) -> list[Dataset] | None:
    if identity.before is None:
        return None
    before = film.reference()
    before.SOPClassUID, before.SOPInstanceUID = ComprehensiveSRStorage, identity.before.report_uid
    before.SeriesInstanceUID = identity.before.report_series_uid
    return [before]
