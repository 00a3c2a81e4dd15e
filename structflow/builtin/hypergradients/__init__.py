"""The built-in ways to optimise hyperparameters, one a file."""
