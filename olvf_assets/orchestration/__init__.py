"""Dagster's side: tables and checks as assets of two views, what starts by itself, and what a run says."""
