"""Results: rankings, the summary that `show` prints, and the labelled arrays of `result.zarr`."""
