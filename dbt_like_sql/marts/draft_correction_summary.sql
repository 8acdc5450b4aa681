-- description: How much of the detector's drafts people changed, by hospital, over the films that came back.
-- partitioned by: institution
-- group: detection
-- columns: institution String, n_films_drafted Int64, n_films_returned Int64, n_films_unchanged Int64
-- columns: n_boxes_drafted Int64, n_boxes_drawn Int64, n_boxes_unchanged Int64, n_boxes_moved Int64
-- columns: n_boxes_renamed Int64, n_boxes_added Int64, n_boxes_removed Int64, share_films_unchanged Float64
-- columns: share_boxes_unchanged Float64, mean_iou Float64
-- column n_films_drafted: films that a draft was written for
-- column n_films_returned: drafts of which a box file came back, corrected or not
-- column n_films_unchanged: drafts that came back as they went out
-- column n_boxes_drafted: boxes that the detector proposed on the films that came back
-- column n_boxes_drawn: boxes on these films as they came back
-- column n_boxes_unchanged: boxes that came back as they went out
-- column n_boxes_moved: boxes of the same level that were moved or resized
-- column n_boxes_renamed: boxes that were given another level, moved or not
-- column n_boxes_added: boxes drawn where the draft had none
-- column n_boxes_removed: boxes of the draft that were taken away
-- column share_films_unchanged: n_films_unchanged over n_films_returned, 0 to 1; null while none came back
-- column share_boxes_unchanged: n_boxes_unchanged over n_boxes_drafted, 0 to 1; null without a box
-- column mean_iou: mean overlap of drafted and drawn box over the boxes that stayed, 0 to 1; null without one
with counted as (
    select
        institution,
        count(*) as n_films_drafted,
        sum(returned::bigint)::bigint as n_films_returned,
        coalesce(sum(unchanged::bigint), 0)::bigint as n_films_unchanged,
        coalesce(sum(n_drafted) filter (where returned), 0)::bigint as n_boxes_drafted,
        coalesce(sum(n_drawn), 0)::bigint as n_boxes_drawn,
        coalesce(sum(n_unchanged), 0)::bigint as n_boxes_unchanged,
        coalesce(sum(n_moved), 0)::bigint as n_boxes_moved,
        coalesce(sum(n_renamed), 0)::bigint as n_boxes_renamed,
        coalesce(sum(n_added), 0)::bigint as n_boxes_added,
        coalesce(sum(n_removed), 0)::bigint as n_boxes_removed,
        sum(mean_iou * (n_unchanged + n_moved + n_renamed)) as sum_iou
    from draft_corrections
    group by institution
)

select
    institution,
    n_films_drafted,
    n_films_returned,
    n_films_unchanged,
    n_boxes_drafted,
    n_boxes_drawn,
    n_boxes_unchanged,
    n_boxes_moved,
    n_boxes_renamed,
    n_boxes_added,
    n_boxes_removed,
    n_films_unchanged / nullif(n_films_returned, 0) as share_films_unchanged,
    n_boxes_unchanged / nullif(n_boxes_drafted, 0) as share_boxes_unchanged,
    sum_iou / nullif(n_boxes_unchanged + n_boxes_moved + n_boxes_renamed, 0) as mean_iou
from counted
order by institution
