"""The built-in likelihoods, one a file."""
