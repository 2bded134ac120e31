"""Parts of the segmentation task: heads, label maps and scores."""
