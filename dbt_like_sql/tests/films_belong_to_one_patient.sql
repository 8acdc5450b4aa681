-- checks: films
-- description: A film id stands for one film, and where there is a sheet subjects, its patient is in it.
select film.institution, film.film_id, count(*) as n, count(subject.patient_id) as n_enrolled
from films as film
left join subjects as subject
    on film.institution = subject.institution and film.patient_id = subject.patient_id
group by film.institution, film.film_id
having
    count(*) <> 1
    or (count(subject.patient_id) <> 1 and film.institution in (select institution from subjects))
