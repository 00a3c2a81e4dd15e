"""Pure functions on tensors: counter-based random numbers, normal and relaxed discrete distributions."""
