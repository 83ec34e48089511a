"""The perceptual study of the paper (Sec. 5.1.1): which of two images, seen for a second, is the real one?"""

from unpaired.serve.study.prepare import Study, open_study, prepare_study

__all__ = ["Study", "open_study", "prepare_study"]
