-- description: Vertebra images (film and level) that stay in the study, with their reference standard.
-- partitioned by: institution
-- group: cohort
-- columns: institution String, role String, film_id String, patient_id String, view String, level String, label String
select
    film.institution,
    institution.role,
    film.film_id,
    film.patient_id,
    film.view,
    consensus.level,
    consensus.label
from films as film
inner join institutions as institution
    on film.institution = institution.institution
inner join consensus_labels as consensus
    on film.institution = consensus.institution and film.patient_id = consensus.patient_id
where
    not exists (
        select 1
        from exclusions as exclusion
        where
            exclusion.institution = film.institution
            and exclusion.unit = 'patient'
            and exclusion.patient_id = film.patient_id
    )
    and not exists (
        select 1
        from exclusions as exclusion
        where
            exclusion.institution = film.institution
            and exclusion.unit = 'vertebra'
            and exclusion.film_id = film.film_id
            and exclusion.level = consensus.level
    )
order by film.institution, film.film_id, consensus.level
