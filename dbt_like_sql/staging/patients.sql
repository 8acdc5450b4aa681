-- description: Who takes part in a hospital: the patients of its sheet subjects; without that sheet, whoever its films and other sheets name.
-- partitioned by: institution
-- group: cohort
-- columns: institution String, patient_id String, in_subjects Boolean, has_reading Boolean
-- column in_subjects: whether the sheet subjects has the patient; if not, age, sex and dates are unknown, and no rule looks at them
-- column has_reading: whether a reader said anything of the patient; if not, films are scored and count in no figure
with named as (
    select institution, patient_id from subjects
    union
    select institution, patient_id from dicom_headers
    where patient_id is not null and institution not in (select institution from subjects)
    union
    select institution, patient_id from reader_labels
    union
    select institution, patient_id from film_conditions
)

select
    named.institution,
    named.patient_id,
    subject.patient_id is not null as in_subjects,
    reading.patient_id is not null as has_reading
from named
left join subjects as subject
    on named.institution = subject.institution and named.patient_id = subject.patient_id
left join (select distinct institution, patient_id from reader_labels) as reading
    on named.institution = reading.institution and named.patient_id = reading.patient_id
order by named.institution, named.patient_id
