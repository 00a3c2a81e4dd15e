"""Basis functions over images: the operations of differentiable architecture search, as candidates on edges."""
