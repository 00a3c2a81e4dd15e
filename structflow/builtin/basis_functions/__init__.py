"""The built-in basis functions, one a file."""
