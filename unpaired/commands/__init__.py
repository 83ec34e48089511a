"""The commands: each a typed function whose docstring is its help. Torch is imported only to work."""
