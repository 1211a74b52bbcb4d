"""How the book is built: `sphinx-build -W --keep-going -n docs docs/_build/html`."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "cano_sync"
author = "the authors of cano_sync"
release = version = version_of("cano_sync")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "python_links",
    "command_line",
]
exclude_patterns = ["_build", "pictures"]

# Markdown: definition lists and attributes; a heading can be linked to by its text.
myst_enable_extensions = ["deflist", "attrs_inline"]
myst_heading_anchors = 3

# Docstrings are written for people who read the source: `name` is a link where there is one to
# make, else it is code. What a page itself links to, by a role, must exist (-n).
default_role = "name"
smartquotes_action = "D"  # dashes, and no curly quotes
nitpicky = True
nitpick_ignore_regex = [("py:obj", ".*")]

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 72
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = "cano_sync"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"

# What a terminal shows is copied without its prompt and without its output.
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
