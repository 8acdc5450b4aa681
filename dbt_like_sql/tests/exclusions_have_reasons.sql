-- checks: exclusions
-- description: Every exclusion says why, by which rule and on what evidence, and names the unit it is about.
select institution, unit, patient_id, film_id, level, rule
from exclusions
where
    reason is null
    or rule is null
    or evidence is null
    or (unit = 'patient' and (film_id is not null or level is not null))
    or (unit = 'vertebra' and (film_id is null or level is null))
    or unit not in ('patient', 'vertebra')
