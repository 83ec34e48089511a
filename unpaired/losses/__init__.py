"""Losses, from scores or images to one number, and what they need of images. None depends on a network."""
