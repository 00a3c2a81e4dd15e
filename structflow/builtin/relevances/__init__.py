"""The built-in criteria of the relevance of weights, one a file."""
