-- description: Each enrolled patient, film and vertebra image with the one state it is in: used, excluded or quarantined, and why.
-- partitioned by: institution
-- group: cohort
-- columns: institution String, unit String, patient_id String, film_id String, level String, path String, state String
-- columns: reason String, rule String, label String
-- column path: the film's file in the landing folder (hidden name for real hospitals); null for patients and vertebrae
-- column label: of a vertebra its reference standard, of patients and films the patient's group: fresh if any vertebra is, else old, else normal
-- One reason per unit: the patient's exclusion goes before that of one image, and rules go before missing detections
-- (of those, not_detected goes before levels_ambiguous). Of the patient's exclusions no_label comes last: whoever is out for
-- another reason would be out with a label, too. Vertebra images without a label may have a crop and a prediction.
-- A quarantined file counts as a film; its vertebrae cannot be counted. `label` is the vertebra's reference standard; of
-- patients and films it is the patient's group: fresh if any vertebra is, else old, else normal; a fracture by tumour
-- counts as fresh where there is no other. Detection is that of protocol `patient`, which every study runs.
with ranked as (
    select
        *,
        case rule
            when 'exclusion_all_normal' then 1
            when 'exclusion_pathological_only' then 2
            when 'exclusion_severe_crush' then 3
            when 'exclusion_pathological_vertebra' then 1
            when 'exclusion_consensus_missing' then 2
            when 'exclusion_no_label' then 5
            else 4
        end as precedence
    from exclusions
),

patient_exclusions as (
    select
        institution,
        patient_id,
        arg_min(reason, precedence || reason) as reason,
        arg_min(rule, precedence || reason) as rule
    from ranked
    where unit = 'patient'
    group by institution, patient_id
),

vertebra_exclusions as (
    select
        institution,
        film_id,
        level,
        arg_min(reason, precedence || reason) as reason,
        arg_min(rule, precedence || reason) as rule
    from ranked
    where unit = 'vertebra'
    group by institution, film_id, level
),

patient_groups as (
    select
        institution,
        patient_id,
        case
            when bool_or(label = 'fresh' and not pathological) then 'fresh'
            when bool_or(label = 'old' and not pathological) then 'old'
            when bool_or(pathological) then 'fresh'
            when bool_or(label = 'normal') then 'normal'
        end as label
    from consensus_labels
    group by institution, patient_id
),

vertebrae as (
    select
        film.institution,
        film.patient_id,
        film.film_id,
        level.level,
        consensus.label,
        crop.label is not null as used,
        case
            when crop.label is not null then null
            when of_patient.reason is not null then of_patient.reason
            when of_vertebra.reason is not null then of_vertebra.reason
            when detected.state = 'ambiguous' then 'levels_ambiguous'
            else 'not_detected'
        end as reason,
        case when crop.label is null then coalesce(of_patient.rule, of_vertebra.rule) end as rule
    from films as film
    cross join (values ('L1'), ('L2'), ('L3'), ('L4'), ('L5')) as level (level)
    left join consensus_labels as consensus
        on
            film.institution = consensus.institution
            and film.patient_id = consensus.patient_id
            and level.level = consensus.level
    left join vertebra_crops as crop
        on
            film.institution = crop.institution
            and film.film_id = crop.film_id
            and level.level = crop.level
            and crop.protocol = 'patient'
    left join detected_films as detected
        on
            film.institution = detected.institution
            and film.film_id = detected.film_id
            and detected.protocol = 'patient'
    left join patient_exclusions as of_patient
        on film.institution = of_patient.institution and film.patient_id = of_patient.patient_id
    left join vertebra_exclusions as of_vertebra
        on
            film.institution = of_vertebra.institution
            and film.film_id = of_vertebra.film_id
            and level.level = of_vertebra.level
),

used_films as (
    select
        institution,
        patient_id,
        film_id,
        bool_or(used) as used,
        max(reason) filter (reason in ('not_detected', 'levels_ambiguous')) as missed
    from vertebrae
    group by institution, patient_id, film_id
),

used_patients as (
    select institution, patient_id, bool_or(used) as used, max(missed) as missed
    from used_films
    group by institution, patient_id
),

patients_and_films as (
    select
        enrolled.institution,
        'patient' as unit,
        enrolled.patient_id,
        cast(null as varchar) as film_id,
        cast(null as varchar) as path,
        coalesce(patient.used, false) as used,
        patient.missed
    from patients as enrolled
    left join used_patients as patient
        on enrolled.institution = patient.institution and enrolled.patient_id = patient.patient_id
    union all
    select film.institution, 'film', film.patient_id, film.film_id, pixel.path, film.used, film.missed
    from used_films as film
    inner join film_pixels as pixel
        on film.institution = pixel.institution and film.film_id = pixel.film_id and pixel.refusal is null
),

states as (
    select
        one.institution,
        one.unit,
        one.patient_id,
        one.film_id,
        cast(null as varchar) as level,
        one.path,
        case when one.used then 'used' else 'excluded' end as state,
        case
            when one.used then null
            else coalesce(of_patient.reason, one.missed, 'no_image_left')
        end as reason,
        case when not one.used then of_patient.rule end as rule,
        patient_group.label
    from patients_and_films as one
    left join patient_exclusions as of_patient
        on one.institution = of_patient.institution and one.patient_id = of_patient.patient_id
    left join patient_groups as patient_group
        on one.institution = patient_group.institution and one.patient_id = patient_group.patient_id
    union all
    select institution, 'film', null, null, null, path, 'quarantined', reason, null, null
    from quarantine
    where found_in <> 'boxes'
    union all
    select
        institution,
        'vertebra',
        patient_id,
        film_id,
        level,
        null,
        case when used then 'used' else 'excluded' end,
        reason,
        rule,
        label
    from vertebrae
)

select institution, unit, patient_id, film_id, level, path, state, reason, rule, label
from states
order by institution, unit, patient_id, film_id, level, path
