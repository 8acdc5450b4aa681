-- checks: exclusion_severe_crush
-- description: No sheet calls a vertebra severely crushed whose measured height ratio is 0.60 or more (Genant: over 40 % lost).
select institution, patient_id, level, condition, height_ratio
from film_conditions
where scope = 'fracture' and condition = 'severe_crush' and height_ratio >= 0.60
