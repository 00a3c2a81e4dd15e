"""A tracker that writes runs of structflow as event files of TensorBoard."""
