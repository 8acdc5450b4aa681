-- checks: consensus_queue
-- description: The readers have settled whatever they differed on; vertebrae of open questions stay out of the study.
-- severity: warn
select institution, patient_id, level, question, reader_1, reader_2
from consensus_queue
where state = 'open'
