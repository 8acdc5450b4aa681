-- checks: cohort_vertebrae
-- description: Each of the five vertebrae of each film is in the cohort once, or is excluded.
select film.institution, film.film_id, level.level, count(cohort.film_id) as n
from films as film
cross join (values ('L1'), ('L2'), ('L3'), ('L4'), ('L5')) as level (level)
left join cohort_vertebrae as cohort
    on film.institution = cohort.institution and film.film_id = cohort.film_id and level.level = cohort.level
where
    not exists (
        select 1
        from exclusions as exclusion
        where
            exclusion.institution = film.institution
            and exclusion.patient_id = film.patient_id
            and (
                exclusion.unit = 'patient'
                or (exclusion.film_id = film.film_id and exclusion.level = level.level)
            )
    )
group by film.institution, film.film_id, level.level
having count(cohort.film_id) <> 1
