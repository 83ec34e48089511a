"""Trained models behind HTTP: an API, a page for people, and the paper's perceptual study (extra `serve`)."""
