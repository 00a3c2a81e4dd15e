"""The built-in optimisers of θ."""
