-- checks: films
-- description: Every candidate DICOM is exactly one of: a film, a row of the quarantine.
select header.institution, header.path, count(film.film_id) as as_film, count(refused.path) as as_refused
from dicom_headers as header
left join film_pixels as pixel
    on header.institution = pixel.institution and header.path = pixel.path and pixel.refusal is null
left join films as film
    on pixel.institution = film.institution and pixel.film_id = film.film_id
left join quarantine as refused
    on header.institution = refused.institution and header.path = refused.path and refused.found_in <> 'boxes'
group by header.institution, header.path
having count(film.film_id) + count(refused.path) <> 1
