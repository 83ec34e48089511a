"""Pure functions from scores or images to one number. Losses know no networks."""
