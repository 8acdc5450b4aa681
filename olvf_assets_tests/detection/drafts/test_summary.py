"""The hospital's summary of what people changed, an SQL model."""

import polars as pl
import pytest

from olvf_assets.orchestration.sql_models import load_models
from olvf_assets_tests.cohort.test_sql_models import drafts

SUMMARY = {model.name: model for model in load_models()}["draft_correction_summary"]


def test_the_summary_counts_what_came_back() -> None:
    row = SUMMARY.make(None, draft_corrections=drafts()).row(0, named=True)
    assert (row["n_films_drafted"], row["n_films_returned"], row["n_films_unchanged"]) == (3, 2, 1)
    assert (row["n_boxes_drafted"], row["n_boxes_drawn"], row["n_boxes_unchanged"]) == (5, 5, 2)
    assert (row["share_films_unchanged"], row["share_boxes_unchanged"]) == (0.5, pytest.approx(0.4))
    assert row["mean_iou"] == pytest.approx(0.9)


def test_without_a_draft_that_came_back_there_is_no_share() -> None:
    row = SUMMARY.make(None, draft_corrections=drafts().filter(~pl.col("returned"))).row(0, named=True)
    assert (row["n_films_returned"], row["share_films_unchanged"], row["mean_iou"]) == (0, None, None)


def test_the_promised_types_hold_with_and_without_rows() -> None:
    for frame in (drafts(), drafts().clear()):
        assert SUMMARY.make(None, draft_corrections=frame).schema == SUMMARY.schema
