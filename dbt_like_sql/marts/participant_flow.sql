-- description: Every enrolled patient, film and vertebra image in exactly one state: used, excluded or quarantined, and why.
-- partitioned by: institution
-- group: cohort
-- One reason per unit: the patient's exclusion goes before that of one image, and rules go before missing detections.
-- A quarantined file counts as a film; its vertebrae cannot be counted.
with patient_exclusions as (
    select
        institution,
        patient_id,
        arg_min(reason, case rule
            when 'exclusion_all_normal' then 1
            when 'exclusion_pathological_only' then 2
            when 'exclusion_fracture_condition' then 3
            else 4
        end || reason) as reason
    from exclusions
    where unit = 'patient'
    group by institution, patient_id
),

vertebra_exclusions as (
    select
        institution,
        film_id,
        level,
        arg_min(reason, case rule
            when 'exclusion_pathological_vertebra' then 1
            when 'exclusion_consensus_missing' then 2
            else 3
        end || reason) as reason
    from exclusions
    where unit = 'vertebra'
    group by institution, film_id, level
),

vertebrae as (
    select
        film.institution,
        film.patient_id,
        film.film_id,
        crop.crop_id is not null as used,
        case
            when crop.crop_id is not null then null
            else coalesce(of_patient.reason, of_vertebra.reason, 'not_detected')
        end as reason
    from films as film
    cross join (values ('L1'), ('L2'), ('L3'), ('L4'), ('L5')) as level (level)
    left join vertebra_crops as crop
        on film.institution = crop.institution and film.film_id = crop.film_id and level.level = crop.level
    left join patient_exclusions as of_patient
        on film.institution = of_patient.institution and film.patient_id = of_patient.patient_id
    left join vertebra_exclusions as of_vertebra
        on
            film.institution = of_vertebra.institution
            and film.film_id = of_vertebra.film_id
            and level.level = of_vertebra.level
),

used_films as (
    select institution, patient_id, film_id, bool_or(used) as used, bool_or(reason = 'not_detected') as missed
    from vertebrae
    group by institution, patient_id, film_id
),

used_patients as (
    select institution, patient_id, bool_or(used) as used, bool_or(missed) as missed
    from used_films
    group by institution, patient_id
),

states as (
    select
        subject.institution,
        'patient' as unit,
        case when coalesce(patient.used, false) then 'used' else 'excluded' end as state,
        case
            when patient.used then null
            else coalesce(of_patient.reason, case when patient.missed then 'not_detected' else 'no_image_left' end)
        end as reason
    from subjects as subject
    left join used_patients as patient
        on subject.institution = patient.institution and subject.patient_id = patient.patient_id
    left join patient_exclusions as of_patient
        on subject.institution = of_patient.institution and subject.patient_id = of_patient.patient_id
    union all
    select
        film.institution,
        'film',
        case when film.used then 'used' else 'excluded' end,
        case
            when film.used then null
            else coalesce(of_patient.reason, case when film.missed then 'not_detected' else 'no_image_left' end)
        end
    from used_films as film
    left join patient_exclusions as of_patient
        on film.institution = of_patient.institution and film.patient_id = of_patient.patient_id
    union all
    select institution, 'film', 'quarantined', reason
    from quarantine
    where found_in <> 'boxes'
    union all
    select institution, 'vertebra', case when used then 'used' else 'excluded' end, reason
    from vertebrae
)

select institution, unit, state, reason, count(*) as n
from states
group by institution, unit, state, reason
order by institution, unit, state, reason
