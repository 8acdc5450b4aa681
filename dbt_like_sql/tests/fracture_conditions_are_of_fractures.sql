-- checks: exclusions
-- description: Every condition that excludes a patient is about a vertebra that the readers call fractured.
-- severity: warn
select condition.institution, condition.patient_id, condition.level, condition.condition, consensus.label
from film_conditions as condition
inner join consensus_labels as consensus
    on
        condition.institution = consensus.institution
        and condition.patient_id = consensus.patient_id
        and condition.level = consensus.level
where condition.scope = 'fracture' and consensus.label = 'normal'
