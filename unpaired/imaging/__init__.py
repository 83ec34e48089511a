"""Bytes to pixels and back: codecs, colour, bit depth, and what an image file says besides its pixels."""
