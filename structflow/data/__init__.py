"""From a data source to arrays that are ready to train on: reading, checks, split, standardisation, storage."""

from .dataset import Dataset
from .prepare import prepare
from .read import load_dataset

__all__ = ["Dataset", "load_dataset", "prepare"]
