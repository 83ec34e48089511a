"""Data sets and how each is made: one file per source."""
