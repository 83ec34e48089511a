"""Pure functions from scores or images to one number. No loss depends on a network."""
