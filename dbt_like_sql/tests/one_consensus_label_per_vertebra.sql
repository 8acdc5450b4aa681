-- checks: consensus_labels
-- description: One row per patient and level, five per patient, and a label wherever the readers agree.
select institution, patient_id, 'not five different levels' as broken
from consensus_labels
group by institution, patient_id
having count(*) <> 5 or count(distinct level) <> 5
union all
select institution, patient_id, level || ' has no label although the readers agree'
from consensus_labels
where label is null and not consensus_needed
