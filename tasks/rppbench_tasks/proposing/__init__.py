"""Proposals: class-agnostic masks for segmentation and boxes for detection."""
