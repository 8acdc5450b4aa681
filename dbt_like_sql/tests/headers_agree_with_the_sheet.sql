-- checks: dicom_headers
-- description: Date, sex and age of a film are those of its patient in the sheet. It does not block: follow-up films are taken later, and headers are often typed by hand.
-- severity: warn
select
    header.institution,
    header.path,
    header.patient_id,
    date_diff('day', subject.film_date, header.film_date) as days_after_sheet,
    header.sex as header_sex,
    subject.sex as sheet_sex,
    header.age_years as header_age_years,
    subject.age_years as sheet_age_years
from dicom_headers as header
inner join subjects as subject
    on header.institution = subject.institution and header.patient_id = subject.patient_id
where
    header.refusal is null
    and (
        abs(date_diff('day', subject.film_date, header.film_date)) > 31
        or header.sex <> subject.sex
        or abs(header.age_years - subject.age_years) > 2
    )
