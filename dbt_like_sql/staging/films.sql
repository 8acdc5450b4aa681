-- description: Films that can be used: accepted by their header and decoded. One row per film.
-- partitioned by: institution
-- group: intake
select
    header.institution,
    header.film_id,
    header.patient_id,
    header.film_date,
    header.view,
    pixel.image_path,
    pixel.pixel_sha256,
    header.columns as width_px,
    header.rows as height_px,
    header.pixel_mm,
    header.kvp,
    header.sid_mm,
    header.detector
from dicom_headers as header
inner join film_pixels as pixel
    on header.institution = pixel.institution and header.path = pixel.path
where header.refusal is null and pixel.refusal is null
order by header.institution, header.film_id
