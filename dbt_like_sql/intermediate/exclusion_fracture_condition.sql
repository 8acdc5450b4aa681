-- description: Exclusion reason 1: patients whose fractured vertebra cannot be judged on the film.
-- partitioned by: institution
-- group: cohort
with findings as (
    select
        institution,
        patient_id,
        condition,
        level || coalesce(' at ' || cast(height_ratio as varchar) || ' of its height', '') as finding
    from film_conditions
    where scope = 'fracture'
)

select
    institution,
    'patient' as unit,
    patient_id,
    cast(null as varchar) as film_id,
    cast(null as varchar) as level,
    condition as reason,
    'exclusion_fracture_condition' as rule,
    string_agg(distinct finding, ', ' order by finding) as evidence
from findings
group by institution, patient_id, condition
order by institution, patient_id, reason
