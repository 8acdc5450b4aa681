-- description: Films that can be used: accepted by their header and decoded. One row per film.
-- partitioned by: institution
-- group: intake
-- pictures: image_path
-- columns: institution String, film_id String, patient_id String, film_date Date, view String, view_source String
-- columns: view_evidence String, body_part String, body_part_source String, body_part_evidence String, view_doubt String
-- columns: image_path String, pixel_sha256 String, width_px Int64, height_px Int64, pixel_mm Float64
-- columns: pixel_mm_source String, calibrated_pixel_mm Float64, kvp Float64, sid_mm Float64, detector String
select
    header.institution,
    header.film_id,
    header.patient_id,
    header.film_date,
    coalesce(pixel.view, header.view) as view,
    pixel.view_source,
    pixel.view_evidence,
    pixel.body_part,
    pixel.body_part_source,
    pixel.body_part_evidence,
    pixel.view_doubt,
    pixel.image_path,
    pixel.pixel_sha256,
    header.columns as width_px,
    header.rows as height_px,
    header.pixel_mm,
    header.pixel_mm_source,
    header.calibrated_pixel_mm,
    header.kvp,
    header.sid_mm,
    header.detector
from dicom_headers as header
inner join film_pixels as pixel
    on header.institution = pixel.institution and header.path = pixel.path
where header.refusal is null and pixel.refusal is null
order by header.institution, header.film_id
