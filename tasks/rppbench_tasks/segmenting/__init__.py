"""The parts of the segmentation task: heads, mask proposals, label maps and scores."""
