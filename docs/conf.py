"""Sphinx configuration of the documentation: `make docs`."""

from pathlib import Path

project = "portchain"
copyright = "portchain contributors, Apache License 2.0"
version = release = Path(__file__).parents[1].joinpath("VERSION").read_text().strip()

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns: list[str] = []

# Headings get the anchors that the hosting platform gives them, so that links work in both places,
# and a link to an anchor that does not exist is an error.
myst_heading_anchors = 4
nitpicky = True

html_theme = "furo"
html_title = f"portchain {release}"
html_static_path = ["_static"]
html_show_copyright = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}

# Code blocks are written for people; some of them show no language that a lexer knows.
highlight_language = "none"
