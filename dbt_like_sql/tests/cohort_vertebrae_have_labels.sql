-- checks: cohort_vertebrae
-- description: Nothing is in the cohort without a class or a role.
select institution, film_id, level, label, role
from cohort_vertebrae
where
    coalesce(label, '') not in ('normal', 'old', 'fresh')
    or coalesce(role, '') not in ('development', 'external')
