-- checks: quarantine
-- description: Nothing is refused without a reason and a detail.
select institution, path
from quarantine
where reason is null or detail is null
