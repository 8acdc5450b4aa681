-- description: Exclusion reason 1: patients whose fractured vertebra has lost much of its height (Genant: more than 40 %).
-- partitioned by: institution
-- group: cohort
-- columns: institution String, unit String, patient_id String, film_id String, level String, reason String, rule String
-- columns: evidence String, reader String
-- Where the height ratio (after over before) was measured it decides by the profile's severe_crush_height_ratio, whatever
-- the condition beside it; else the sheet.
with crushed as (
    select
        institution,
        patient_id,
        height_ratio is not null as measured,
        level || coalesce(' at ' || cast(height_ratio as varchar) || ' of its height', ' by the sheet') as finding
    from film_conditions
    where
        scope = 'fracture'
        and coalesce(severely_crushed, condition = 'severe_crush')
)

select
    institution,
    'patient' as unit,
    patient_id,
    cast(null as varchar) as film_id,
    cast(null as varchar) as level,
    'severe_crush' as reason,
    'exclusion_severe_crush' as rule,
    string_agg(distinct finding, ', ' order by finding) as evidence,
    case when bool_and(measured) then null else 'not named' end as reader
from crushed
group by institution, patient_id
order by institution, patient_id
