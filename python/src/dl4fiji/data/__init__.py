"""Images on disk, their axes, pairs, patches, normalisation and augmentation."""
