"""One HTML page that tells a whole run."""
