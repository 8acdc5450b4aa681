"""DICOM headers: how a file is encoded, what its elements say, and which view a film shows."""
