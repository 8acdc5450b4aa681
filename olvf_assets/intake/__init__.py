"""Films and sheets in: DICOM headers, pixels, labels, subjects, boxes, quarantine. No study decisions."""
