"""Telling people who do not look at the UI: what they are told, by which ways, once.

A floor beside `storage`: it knows no run and no table. Who finds out what is wrong: `orchestration/alerts.py`.
"""
