-- description: How many enrolled patients, films and vertebra images were used, excluded or quarantined, by which rule and why.
-- partitioned by: institution
-- group: cohort
-- columns: institution String, unit String, state String, reason String, rule String, n Int64, n_normal Int64
-- columns: n_old Int64, n_fresh Int64
-- column n: units in this state for this reason
-- column n_normal: of n; vertebrae by their class, patients and films by the patient's group
-- column n_old: of n, counted likewise
-- column n_fresh: of n, counted likewise
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
