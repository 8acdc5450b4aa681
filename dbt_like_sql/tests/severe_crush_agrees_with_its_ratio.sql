-- checks: exclusion_severe_crush
-- description: No sheet calls a vertebra severely crushed whose measured height ratio is not below the profile's.
select institution, patient_id, level, condition, height_ratio
from film_conditions
where scope = 'fracture' and condition = 'severe_crush' and not severely_crushed
