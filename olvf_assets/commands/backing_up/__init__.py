"""Copies of the data folder and of Dagster's records, and the way back (`back_up`, `restore`)."""
