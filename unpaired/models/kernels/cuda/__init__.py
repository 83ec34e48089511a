"""Units for CUDA cards, in Triton."""
