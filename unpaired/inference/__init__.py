"""Trained generators at work on images."""

from unpaired.inference.files import Options, translate_files
from unpaired.inference.translator import Translator

__all__ = ["Options", "Translator", "translate_files"]
