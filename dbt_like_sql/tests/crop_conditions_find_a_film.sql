-- checks: exclusions
-- description: Every condition of single vertebra images is about a film that can be used; look whether the view is mistyped.
-- severity: warn
select condition.institution, condition.patient_id, condition.level, condition.view, condition.condition
from film_conditions as condition
left join films as film
    on
        condition.institution = film.institution
        and condition.patient_id = film.patient_id
        and (condition.view is null or condition.view = film.view)
where condition.scope = 'crop' and film.film_id is null
