"""Results as DICOM objects for the image store that the films came from: a structured report and a picture a film."""
