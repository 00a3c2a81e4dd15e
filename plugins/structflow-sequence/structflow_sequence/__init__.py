"""Basis functions on series of shape (length, channels), and the series that come with statsmodels."""
