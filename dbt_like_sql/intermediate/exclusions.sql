-- description: Every reason to leave a patient or a vertebra image out. Patients under several rules stand here several times.
-- partitioned by: institution
-- group: cohort
-- columns: institution String, unit String, patient_id String, film_id String, level String, reason String, rule String
-- columns: evidence String, reader String
with rules as (
    select * from exclusion_all_normal
    union all
    select * from exclusion_pathological_only
    union all
    select * from exclusion_severe_crush
    union all
    select * from exclusion_fracture_condition
    union all
    select * from exclusion_no_film
    union all
    select * from exclusion_no_label
    union all
    select * from exclusion_crop_condition
    union all
    select * from exclusion_consensus_missing
    union all
    select * from exclusion_pathological_vertebra
)

select institution, unit, patient_id, film_id, level, reason, rule, evidence, reader
from rules
order by institution, unit, patient_id, film_id, level, rule, reason
