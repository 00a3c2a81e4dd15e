"""The built-in variational families of the weights, one a file."""
