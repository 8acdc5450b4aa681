-- description: Films whose drawn boxes began as the detector's own: its figures on them are flattering.
-- checks: draft_corrections
-- severity: warn
select answer.institution, answer.film_id, answer.dataset, count(*) as n_boxes
from detector_answers as answer
inner join draft_corrections as draft
    on
        answer.institution = draft.institution
        and answer.film_id = draft.film_id
        and answer.detector_sha256 = draft.detector_sha256
where draft.returned and answer.source = 'drawn'
group by answer.institution, answer.film_id, answer.dataset
