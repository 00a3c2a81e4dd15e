"""The store: run directories, commit records and groups of arrays."""
