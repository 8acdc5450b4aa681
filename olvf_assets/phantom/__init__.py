"""The synthetic hospital: anatomy, projection, DICOM and reader sheets. No reading of what a hospital sent."""
