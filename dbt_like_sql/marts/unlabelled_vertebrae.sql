-- description: Vertebra images without a reference standard that are scored all the same: nobody read their patient, and no other rule excludes them.
-- partitioned by: institution
-- group: cohort
-- columns: institution String, role String, film_id String, patient_id String, view String, level String
select
    film.institution,
    institution.role,
    film.film_id,
    film.patient_id,
    film.view,
    level.level
from films as film
inner join institutions as institution
    on film.institution = institution.institution
inner join exclusion_no_label as unlabelled
    on film.institution = unlabelled.institution and film.patient_id = unlabelled.patient_id
cross join (values ('L1'), ('L2'), ('L3'), ('L4'), ('L5')) as level (level)
where
    not exists (
        select 1
        from exclusions as exclusion
        where
            exclusion.institution = film.institution
            and exclusion.patient_id = film.patient_id
            and exclusion.rule <> 'exclusion_no_label'
            and (
                exclusion.unit = 'patient'
                or (exclusion.film_id = film.film_id and exclusion.level = level.level)
            )
    )
order by film.institution, film.film_id, level.level
