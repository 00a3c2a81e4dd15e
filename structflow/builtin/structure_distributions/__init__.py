"""The built-in structure distributions, one a file."""
