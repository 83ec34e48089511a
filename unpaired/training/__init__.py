"""The loop that updates weights, and what it writes."""

from unpaired.training.run import train
from unpaired.training.stopping import RESUMABLE, Stopped

__all__ = ["RESUMABLE", "Stopped", "train"]
