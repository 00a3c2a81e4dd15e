"""The built-in criteria that structures are ranked by."""
