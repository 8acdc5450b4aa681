-- description: Patients whose five lumbar vertebrae are all normal: their bone may differ from that of patients with a fracture.
-- partitioned by: institution
-- group: cohort
select
    institution,
    'patient' as unit,
    patient_id,
    cast(null as varchar) as film_id,
    cast(null as varchar) as level,
    'all_normal' as reason,
    'exclusion_all_normal' as rule,
    'L1 to L5 normal by consensus' as evidence
from consensus_labels
group by institution, patient_id
having count(*) filter (where label = 'normal' and not pathological) = 5
order by institution, patient_id
