"""The loop that updates weights, and what it writes."""

from unpaired.training.run import train

__all__ = ["train"]
