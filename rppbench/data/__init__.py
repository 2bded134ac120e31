"""From files to images: download, archives, checks, splits, augmentation, preprocessing."""
