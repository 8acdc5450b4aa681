-- checks: exclusions
-- description: Nobody is excluded who was not enrolled.
select exclusion.institution, exclusion.patient_id
from exclusions as exclusion
left join patients as patient
    on exclusion.institution = patient.institution and exclusion.patient_id = patient.patient_id
where patient.patient_id is null
