"""The loop that updates weights, and what it writes."""
