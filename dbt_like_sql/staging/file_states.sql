-- description: Every path of a landing folder with the one state it ended in: film, sheet, boxes, archive, ignored, quarantined.
-- partitioned by: institution
-- group: intake
-- columns: institution String, path String, state String, reason String
-- An archive's files stand beside it. A box file counts as quarantined when a picture of it has no film.
with refusals as (
    select institution, path, min(reason) as reason
    from quarantine
    group by institution, path
),

accepted as (
    select header.institution, header.path
    from dicom_headers as header
    inner join film_pixels as pixel
        on header.institution = pixel.institution and header.path = pixel.path
    where header.refusal is null and pixel.refusal is null
)

select
    listed.institution,
    listed.path,
    case
        when listed.state in ('ignored', 'archive') then listed.state
        when refused.path is not null then 'quarantined'
        when listed.state = 'arrived' and listed.kind in ('sheet', 'boxes') then listed.kind
        when film.path is not null then 'film'
    end as state,
    coalesce(refused.reason, listed.reason) as reason
from landing_manifest as listed
left join refusals as refused
    on listed.institution = refused.institution and listed.path = refused.path
left join accepted as film
    on listed.institution = film.institution and listed.path = film.path
order by listed.institution, listed.path
