"""Modules for every other part: errors, progress, signals, atomic files, bounded text and tensor readers."""
