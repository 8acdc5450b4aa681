-- checks: cohort_vertebrae
-- description: A vertebra image in the cohort falls under no exclusion, neither its own nor its patient's.
select cohort.institution, cohort.film_id, cohort.level, exclusion.reason
from cohort_vertebrae as cohort
inner join exclusions as exclusion
    on
        cohort.institution = exclusion.institution
        and cohort.patient_id = exclusion.patient_id
        and (
            exclusion.unit = 'patient'
            or (cohort.film_id = exclusion.film_id and cohort.level = exclusion.level)
        )
