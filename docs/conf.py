"""Settings of Sphinx; the tables of the spec language are made here from the code."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import spec_keys

project = "structflow"
author = "structflow developers"
copyright = "structflow developers"
release = version = installed_version("structflow")

extensions = ["myst_parser"]
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"structflow {version}"
nitpicky = True


def fill_in_tables(app, docname, source):
    """Put the tables where the page asks for them."""
    if docname == "spec":
        source[0] = source[0].replace("{{ spec_keys }}", spec_keys.markdown())


def setup(app):
    """Connect to Sphinx."""
    app.connect("source-read", fill_in_tables)
