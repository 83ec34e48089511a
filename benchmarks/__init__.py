"""Measurements, each one command; nothing here is part of the package."""
