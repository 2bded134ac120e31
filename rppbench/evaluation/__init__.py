"""From features to scores: classification, ranking metrics, average precision."""
