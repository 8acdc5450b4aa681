-- description: Every scored vertebra image of an external or unlabelled patient with what the networks say of it, the likeliest fresh fractures first.
-- partitioned by: none
-- group: evaluation
-- pictures: image_path map_path
-- columns: institution String, dataset String, patient_id String, film_id String, view String, level String, crop_id String
-- columns: label String, predicted String, p_normal Float64, p_old Float64, p_fresh Float64, doubt Float64
-- columns: n_networks Int64, n_networks_of_predicted Int64, called_fresh_at Float64, image_path String, map_path String
-- column dataset: external, or unlabelled (of development hospitals)
-- column predicted: by all fifteen networks together, whose probabilities these are
-- column doubt: 0 (one class is certain) to 1 (the two likeliest classes are equally likely)
-- column n_networks: networks that were asked
-- column n_networks_of_predicted: of them, those that say predicted
-- column called_fresh_at: the lowest target sensitivity at which it is called fresh (operating_point_calls); null: at none
-- column image_path: the crop's picture, 8-bit grey PNG below the lake's folder
-- column map_path: Grad-CAM of the analysed network on the crop, 8-bit PNG below the lake's folder
-- Protocol patient alone: the detector and networks of protocol thesis leak.
with said as (
    select
        institution,
        dataset,
        crop_id,
        count(*) as n_networks,
        count(*) filter (where p_normal >= p_old and p_normal >= p_fresh) as n_normal,
        count(*) filter (where p_old > p_normal and p_old >= p_fresh) as n_old,
        count(*) filter (where p_fresh > p_normal and p_fresh > p_old) as n_fresh
    from fold_predictions
    where protocol = 'patient' and dataset in ('external', 'unlabelled')
    group by institution, dataset, crop_id
),

calls as (
    select institution, dataset, crop_id, min(target_sensitivity) as called_fresh_at
    from operating_point_calls
    where protocol = 'patient' and unit = 'vertebra' and called_fresh
    group by institution, dataset, crop_id
)

select
    overall.institution,
    overall.dataset,
    overall.patient_id,
    crop.film_id,
    crop.view,
    overall.level,
    overall.crop_id,
    overall.label,
    overall.predicted,
    overall.p_normal,
    overall.p_old,
    overall.p_fresh,
    1 + list_sort([overall.p_normal, overall.p_old, overall.p_fresh])[2]
    - list_sort([overall.p_normal, overall.p_old, overall.p_fresh])[3] as doubt,
    said.n_networks,
    case overall.predicted when 'normal' then said.n_normal when 'old' then said.n_old else said.n_fresh end
        as n_networks_of_predicted,
    calls.called_fresh_at,
    crop.image_path,
    attention.map_path
from ensemble_predictions as overall
inner join said
    on
        overall.institution = said.institution
        and overall.dataset = said.dataset
        and overall.crop_id = said.crop_id
inner join vertebra_crops as crop
    on overall.institution = crop.institution and overall.crop_id = crop.crop_id and crop.protocol = 'patient'
left join calls
    on
        overall.institution = calls.institution
        and overall.dataset = calls.dataset
        and overall.crop_id = calls.crop_id
left join crop_attention as attention
    on
        overall.institution = attention.institution
        and overall.crop_id = attention.crop_id
        and attention.protocol = 'patient'
where overall.protocol = 'patient' and overall.model = 'ensemble_of_15' and overall.dataset in ('external', 'unlabelled')
order by overall.institution, overall.p_fresh desc, overall.crop_id
