-- checks: exclusions
-- description: Nobody is excluded who was not enrolled.
select exclusion.institution, exclusion.patient_id
from exclusions as exclusion
left join subjects as subject
    on exclusion.institution = subject.institution and exclusion.patient_id = subject.patient_id
where subject.patient_id is null
