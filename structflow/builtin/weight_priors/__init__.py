"""The built-in priors of the weights, one a file."""
