-- checks: file_states
-- description: Every path that the manifest lists is in exactly one state, and no other path is.
select
    coalesce(listed.institution, stated.institution) as institution,
    coalesce(listed.path, stated.path) as path,
    count(stated.state) as n_states
from landing_manifest as listed
full outer join file_states as stated
    on listed.institution = stated.institution and listed.path = stated.path
group by 1, 2
having count(stated.state) <> 1 or count(listed.path) <> 1
