"""What `python -m olvf_assets` does beside Dagster's own commands. Nothing else imports this."""
