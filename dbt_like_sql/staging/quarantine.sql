-- description: Files that were handed over and cannot be used, each with its reason. A film once, at its first refusal.
-- partitioned by: institution
-- group: intake
-- columns: institution String, path String, sha256 String, reason String, detail String, found_in String
with refused as (
    select institution, path, sha256, refusal as reason, refusal_detail as detail, 'header' as found_in
    from dicom_headers
    where refusal is not null
    union all
    select pixel.institution, pixel.path, header.sha256, pixel.refusal, pixel.refusal_detail, 'pixels'
    from film_pixels as pixel
    inner join dicom_headers as header
        on pixel.institution = header.institution and pixel.path = header.path
    where pixel.refusal is not null and header.refusal is null
    union all
    select institution, path, sha256, reason, detail, 'boxes'
    from unmatched_boxes
)

select institution, path, sha256, reason, detail, found_in
from refused
order by institution, path
