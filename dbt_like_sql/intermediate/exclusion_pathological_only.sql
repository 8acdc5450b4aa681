-- description: Patients whose fractures are all pathological (caused by tumour); with an osteoporotic fracture beside it they stay.
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
    'pathological_fracture_only' as reason,
    'exclusion_pathological_only' as rule,
    string_agg(level, ', ' order by level) filter (where pathological) || ' pathological, no other fracture' as evidence,
    case when bool_or(consensus_needed and pathological) then 'consensus' else '1 and 2' end as reader
from consensus_labels
group by institution, patient_id
having
    count(*) filter (where pathological) > 0
    and count(*) filter (where label in ('old', 'fresh') and not pathological) = 0
order by institution, patient_id
