"""From directories of images to samples, groups, splits and batches."""
