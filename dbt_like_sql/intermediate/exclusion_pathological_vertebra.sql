-- description: Images of pathologically fractured vertebrae of patients who stay for another, osteoporotic fracture.
-- partitioned by: institution
-- group: cohort
-- columns: institution String, unit String, patient_id String, film_id String, level String, reason String, rule String
-- columns: evidence String, reader String
select
    consensus.institution,
    'vertebra' as unit,
    consensus.patient_id,
    film.film_id,
    consensus.level,
    'pathological_fracture' as reason,
    'exclusion_pathological_vertebra' as rule,
    coalesce('labelled ' || consensus.label, 'no label') as evidence,
    case when consensus.consensus_needed then 'consensus' else '1 and 2' end as reader
from consensus_labels as consensus
inner join films as film
    on consensus.institution = film.institution and consensus.patient_id = film.patient_id
where consensus.pathological
order by consensus.institution, film.film_id, consensus.level
