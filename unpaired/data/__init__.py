"""Folders of images, how they are prepared, checked, paired and read."""
