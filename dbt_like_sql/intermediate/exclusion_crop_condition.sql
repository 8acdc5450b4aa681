-- description: Exclusion reason 2: vertebra images that cannot be judged, on all films of the patient or on those of one view.
-- partitioned by: institution
-- group: cohort
-- columns: institution String, unit String, patient_id String, film_id String, level String, reason String, rule String
-- columns: evidence String, reader String
select
    condition.institution,
    'vertebra' as unit,
    condition.patient_id,
    film.film_id,
    condition.level,
    condition.condition as reason,
    'exclusion_crop_condition' as rule,
    max(coalesce(condition.view || ' view', 'all views')) as evidence,
    'not named' as reader
from film_conditions as condition
inner join films as film
    on
        condition.institution = film.institution
        and condition.patient_id = film.patient_id
        and (condition.view is null or condition.view = film.view)
where condition.scope = 'crop'
group by condition.institution, condition.patient_id, film.film_id, condition.level, condition.condition
order by condition.institution, film.film_id, condition.level, reason
