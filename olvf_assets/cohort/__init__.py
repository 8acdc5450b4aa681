"""Who is in the study: reader agreement, consensus, exclusions, patient split. No pixels."""
