-- description: Patients of whom no reader said anything: their films are scored, and count in no figure of accuracy.
-- partitioned by: institution
-- group: cohort
-- columns: institution String, unit String, patient_id String, film_id String, level String, reason String, rule String
-- columns: evidence String, reader String
select
    institution,
    'patient' as unit,
    patient_id,
    cast(null as varchar) as film_id,
    cast(null as varchar) as level,
    'no_label' as reason,
    'exclusion_no_label' as rule,
    case
        when bool_or(has_reading) over (partition by institution) then 'not in the sheet readers'
        else 'no reading was handed over'
    end as evidence,
    cast(null as varchar) as reader
from patients
qualify not has_reading
order by institution, patient_id
