"""Where things may be, whatever they are: masks for segmentation, boxes for detection."""
