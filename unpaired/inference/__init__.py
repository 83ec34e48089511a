"""Trained generators at work on pictures."""
