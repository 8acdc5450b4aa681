-- checks: patients
-- description: Where there is no sheet subjects, whoever the other sheets name has a film; look whether the patient_id is mistyped.
-- severity: warn
select patient.institution, patient.patient_id, patient.has_reading
from patients as patient
left join dicom_headers as header
    on patient.institution = header.institution and patient.patient_id = header.patient_id
where not patient.in_subjects and header.patient_id is null
