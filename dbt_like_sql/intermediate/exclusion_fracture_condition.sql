-- description: Exclusion reason 1: patients whose fractured vertebra cannot be judged on the film, severe crush aside.
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
    condition as reason,
    'exclusion_fracture_condition' as rule,
    string_agg(distinct level, ', ' order by level) as evidence,
    'not named' as reader
from film_conditions
where scope = 'fracture' and condition <> 'severe_crush'
group by institution, patient_id, condition
order by institution, patient_id, reason
