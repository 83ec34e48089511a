"""Images or features in, numbers out."""
