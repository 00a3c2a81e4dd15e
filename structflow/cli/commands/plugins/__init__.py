"""`structflow plugins`: what is installed, and a package to start from."""

from .group import command

__all__ = ["command"]
