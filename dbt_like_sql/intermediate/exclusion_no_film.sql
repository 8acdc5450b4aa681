-- description: Patients without a usable film: none was handed over, or all are in quarantine.
-- partitioned by: institution
-- group: cohort
-- columns: institution String, unit String, patient_id String, film_id String, level String, reason String, rule String
-- columns: evidence String, reader String
select
    patient.institution,
    'patient' as unit,
    patient.patient_id,
    cast(null as varchar) as film_id,
    cast(null as varchar) as level,
    'no_usable_film' as reason,
    'exclusion_no_film' as rule,
    cast(count(header.path) as varchar) || ' films of the patient refused' as evidence,
    cast(null as varchar) as reader
from patients as patient
left join films as film
    on patient.institution = film.institution and patient.patient_id = film.patient_id
left join dicom_headers as header
    on patient.institution = header.institution and patient.patient_id = header.patient_id
where film.film_id is null
group by patient.institution, patient.patient_id
order by patient.institution, patient.patient_id
