-- description: Every question the readers answered differently, or one did not answer: what each said, open or settled by whom.
-- partitioned by: institution
-- group: cohort
-- columns: institution String, patient_id String, level String, question String, reader_1 String, reader_2 String
-- columns: state String, settled_as String, settled_by String
-- column question: what the readers answered differently: class of the vertebra, or pathological (by tumour)
-- column reader_1: reader 1's answer: a class, or yes, no, not said; null: silent
-- column reader_2: reader 2's answer: a class, or yes, no, not said; null: silent
-- column state: open or settled
-- column settled_as: the answer that was agreed on; null: open
-- column settled_by: who settled it: consensus; null: open
-- Two questions a vertebra: its class, and whether tumour caused the fracture.
with answers as (
    select institution, patient_id, level, 'class' as question, reader, label as answer
    from reader_labels
    where reading = 1
    union all
    select institution, patient_id, level, 'pathological', reader, case when pathological then 'yes' when not pathological then 'no' else 'not said' end
    from reader_labels
    where reading = 1
),

beside as (
    select
        patient.institution,
        patient.patient_id,
        level.level,
        question.question,
        max(answer.answer) filter (where answer.reader = '1') as reader_1,
        max(answer.answer) filter (where answer.reader = '2') as reader_2,
        max(answer.answer) filter (where answer.reader = 'consensus' and answer.answer <> 'not said') as settled_as
    from patients as patient
    cross join (values ('L1'), ('L2'), ('L3'), ('L4'), ('L5')) as level (level)
    cross join (values ('class'), ('pathological')) as question (question)
    left join answers as answer
        on
            patient.institution = answer.institution
            and patient.patient_id = answer.patient_id
            and level.level = answer.level
            and question.question = answer.question
    where patient.has_reading
    group by patient.institution, patient.patient_id, level.level, question.question
)

select
    institution,
    patient_id,
    level,
    question,
    reader_1,
    reader_2,
    case when settled_as is null then 'open' else 'settled' end as state,
    settled_as,
    case when settled_as is not null then 'consensus' end as settled_by
from beside
where
    (reader_1 is distinct from reader_2 or reader_1 is null)
    -- one reader's silence beside the other's "no" asks nothing
    and not coalesce(reader_1 in ('no', 'not said') and reader_2 in ('no', 'not said'), false)
order by institution, patient_id, level, question
