-- description: Images of vertebrae without a reference standard: a reading is missing, or the readers differ without consensus.
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
    'consensus_missing' as reason,
    'exclusion_consensus_missing' as rule,
    'reader 1 ' || coalesce(consensus.reader_1, 'silent')
    || ', reader 2 ' || coalesce(consensus.reader_2, 'silent') as evidence,
    '1 and 2' as reader
from consensus_labels as consensus
inner join films as film
    on consensus.institution = film.institution and consensus.patient_id = film.patient_id
where consensus.label is null
order by consensus.institution, film.film_id, consensus.level
