"""Boxes, imgaug copies, YOLOv5, mAP, detections. No crops."""
