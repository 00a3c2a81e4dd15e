"""The built-in metrics of predictions."""
