"""The built-in estimators of log evidence, one a file."""
