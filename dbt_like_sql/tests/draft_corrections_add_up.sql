-- description: Every drafted box was kept, moved, renamed or removed, and every drawn one kept, moved, renamed or added.
-- checks: draft_corrections
select institution, film_id, n_drafted, n_drawn, n_unchanged, n_moved, n_renamed, n_added, n_removed
from draft_corrections
where
    returned and state <> 'not_remembered'
    and (
        n_unchanged + n_moved + n_renamed + n_removed <> n_drafted
        or n_unchanged + n_moved + n_renamed + n_added <> n_drawn
    )
