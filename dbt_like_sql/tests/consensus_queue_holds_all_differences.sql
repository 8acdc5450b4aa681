-- checks: consensus_queue
-- description: A vertebra's class is in the queue exactly if the reference standard needed a consensus, with the same answer.
select
    coalesce(consensus.institution, queue.institution) as institution,
    coalesce(consensus.patient_id, queue.patient_id) as patient_id,
    coalesce(consensus.level, queue.level) as level,
    consensus.label,
    queue.settled_as
from (select * from consensus_labels where consensus_needed) as consensus
full outer join (select * from consensus_queue where question = 'class') as queue
    on
        consensus.institution = queue.institution
        and consensus.patient_id = queue.patient_id
        and consensus.level = queue.level
where
    consensus.level is null
    or queue.level is null
    or consensus.label is distinct from queue.settled_as
