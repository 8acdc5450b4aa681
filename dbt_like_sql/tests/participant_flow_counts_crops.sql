-- checks: participant_flow
-- description: The vertebra images called used are as many as there are crops with a label, and whoever is not used has a reason.
select flow.institution, flow.unit, flow.state, flow.n, count(crop.crop_id) as n_crops
from participant_flow as flow
left join vertebra_crops as crop
    on flow.institution = crop.institution and crop.protocol = 'patient' and crop.label is not null
where flow.unit = 'vertebra' and flow.state = 'used'
group by flow.institution, flow.unit, flow.state, flow.n
having count(crop.crop_id) <> flow.n
union all
select institution, unit, state, n, 0
from participant_flow
where (state = 'used') <> (reason is null)
