"""Trained generators at work on pictures."""

from unpaired.inference.files import translate_files
from unpaired.inference.translator import Translator

__all__ = ["Translator", "translate_files"]
