"""The spec language: from a YAML file to a study that is ready to be planned; start at `load.load_study`."""
