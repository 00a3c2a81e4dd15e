"""The built-in regimes, one a file."""
