-- description: The reference standard of each lumbar vertebra of each patient who was read: the readers' common label, else their consensus, else null.
-- partitioned by: institution
-- group: cohort
-- columns: institution String, patient_id String, level String, label String, pathological Boolean, reader_1 String
-- columns: reader_2 String, consensus_needed Boolean
-- column label: what both readers said, else their consensus; null: open, the vertebra stays out of the study
-- column consensus_needed: whether the readers differ or reader 1 is silent
with vertebrae as (
    select patient.institution, patient.patient_id, level.level
    from patients as patient
    cross join (values ('L1'), ('L2'), ('L3'), ('L4'), ('L5')) as level (level)
    where patient.has_reading
),

readings as (
    select
        institution,
        patient_id,
        level,
        max(label) filter (where reader = '1') as reader_1,
        max(label) filter (where reader = '2') as reader_2,
        max(label) filter (where reader = 'consensus') as consensus,
        bool_or(pathological) filter (where reader = '1') as pathological_1,
        bool_or(pathological) filter (where reader = '2') as pathological_2,
        bool_or(pathological) filter (where reader = 'consensus') as pathological_by_consensus
    from reader_labels
    where reading = 1
    group by institution, patient_id, level
)

select
    vertebra.institution,
    vertebra.patient_id,
    vertebra.level,
    case when reading.reader_1 = reading.reader_2 then reading.reader_1 else reading.consensus end as label,
    coalesce(
        case when reading.pathological_1 = reading.pathological_2 then reading.pathological_1 end,
        reading.pathological_by_consensus,
        reading.pathological_1 or reading.pathological_2,
        reading.pathological_1,
        reading.pathological_2,
        false
    ) as pathological,
    reading.reader_1,
    reading.reader_2,
    reading.reader_1 is distinct from reading.reader_2 or reading.reader_1 is null as consensus_needed
from vertebrae as vertebra
left join readings as reading
    on
        vertebra.institution = reading.institution
        and vertebra.patient_id = reading.patient_id
        and vertebra.level = reading.level
order by vertebra.institution, vertebra.patient_id, vertebra.level
