-- checks: participant_flow
-- description: The states add up to everyone enrolled, every file handed over and five vertebrae a film.
with handed_over as (
    select institution, 'patient' as unit, count(*) as n from patients group by institution
    union all
    select institution, 'film', count(*) from dicom_headers group by institution
    union all
    select institution, 'vertebra', 5 * count(*) from films group by institution
),

counted as (
    select institution, unit, cast(sum(n) as bigint) as n
    from participant_flow
    group by institution, unit
)

select
    coalesce(handed_over.institution, counted.institution) as institution,
    coalesce(handed_over.unit, counted.unit) as unit,
    handed_over.n as n_handed_over,
    counted.n as n_counted
from handed_over
full outer join counted
    on handed_over.institution = counted.institution and handed_over.unit = counted.unit
where handed_over.n is distinct from counted.n
