-- description: Patients whose five lumbar vertebrae are all normal: their bone may differ from that of patients with a fracture.
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
    'all_normal' as reason,
    'exclusion_all_normal' as rule,
    'L1 to L5 normal' as evidence,
    case when bool_or(consensus_needed) then 'consensus' else '1 and 2' end as reader
from consensus_labels
group by institution, patient_id
having count(*) filter (where label = 'normal' and not pathological) = 5
order by institution, patient_id
