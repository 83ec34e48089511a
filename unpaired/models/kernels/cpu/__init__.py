"""Units for CPUs: activation, reflection, convolution and norm at once, and convolutions by faster sums."""
