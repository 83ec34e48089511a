"""Unpaired image-to-image translation: CycleGAN (arXiv:1703.10593), exact to the paper."""
