-- checks: participant_states
-- description: Each enrolled patient and each vertebra of each accepted film is in exactly one state, and no other is.
with units as (
    select institution, 'patient' as unit, patient_id, cast(null as varchar) as film_id, cast(null as varchar) as level
    from patients
    union all
    select film.institution, 'vertebra', film.patient_id, film.film_id, level.level
    from films as film
    cross join (values ('L1'), ('L2'), ('L3'), ('L4'), ('L5')) as level (level)
),

states as (
    select institution, unit, patient_id, film_id, level, count(*) as n
    from participant_states
    where unit <> 'film'
    group by institution, unit, patient_id, film_id, level
)

select
    coalesce(units.institution, states.institution) as institution,
    coalesce(units.unit, states.unit) as unit,
    coalesce(units.patient_id, states.patient_id) as patient_id,
    coalesce(units.film_id, states.film_id) as film_id,
    coalesce(units.level, states.level) as level,
    coalesce(states.n, 0) as n_states
from units
full outer join states
    on
        units.institution = states.institution
        and units.unit = states.unit
        and units.patient_id is not distinct from states.patient_id
        and units.film_id is not distinct from states.film_id
        and units.level is not distinct from states.level
where units.unit is null or states.n is distinct from 1
