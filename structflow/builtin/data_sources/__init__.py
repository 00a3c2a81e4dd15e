"""The built-in data sources, one a file."""
