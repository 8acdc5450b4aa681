-- description: How many enrolled patients, films and vertebra images were used, excluded or quarantined, by which rule and why.
-- partitioned by: institution
-- group: cohort
-- n_normal, n_old and n_fresh are of `n`: vertebrae by their class, patients and films by the patient's group.
select
    institution,
    unit,
    state,
    reason,
    rule,
    count(*) as n,
    count(*) filter (where label = 'normal') as n_normal,
    count(*) filter (where label = 'old') as n_old,
    count(*) filter (where label = 'fresh') as n_fresh
from participant_states
group by institution, unit, state, reason, rule
order by institution, unit, state, rule, reason
