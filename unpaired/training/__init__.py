"""The loop that updates weights, and what it writes."""

from unpaired.training.loop import train

__all__ = ["train"]
