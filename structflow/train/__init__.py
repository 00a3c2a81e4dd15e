"""Training: the optimiser's step for a whole population as one program, and the loop that drives it."""
