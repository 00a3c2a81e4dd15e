"""Evaluation of trained members: what evidence estimators, metrics and predictions are computed from."""
