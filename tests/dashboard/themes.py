"""Horizon's own style sheets in each theme, compiled as Horizon compiles them, and kept."""

import hashlib
import importlib.metadata
import pathlib

from django.conf import settings
from django.contrib.staticfiles import finders
from horizon import themes
from horizon.utils.scss_filter import ScssFilter

NAMES = tuple(name for name, _label, _path in settings.AVAILABLE_THEMES)
KEPT = pathlib.Path(__file__).parents[2] / "build" / "themes"
DARK = sorted((pathlib.Path(__file__).parent / "dark").iterdir())


def css(name):
    """Return a theme's whole style sheet."""
    said = importlib.metadata.version("horizon") + "".join(path.read_text() for path in DARK)
    kept = KEPT / f"{name}-{hashlib.sha256(said.encode()).hexdigest()[:12]}.css"
    if not kept.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        kept.write_text(_compiled(name))
    return kept.read_text()


def _compiled(name):
    themes._local.theme = name  # where Horizon's middleware leaves what the user has chosen
    try:
        return ScssFilter(None, filename=finders.find("dashboard/scss/themes.scss")).input()
    finally:
        del themes._local.theme
