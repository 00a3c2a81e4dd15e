"""structflow: Bayesian choice of the structure of a neural network, from one spec file."""

__version__ = "0.1.0"
