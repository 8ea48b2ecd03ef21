"""How many examples a property is tried on: what the run says, or a multiple of that."""

from __future__ import annotations

from hypothesis import settings


def times(factor: float) -> settings:
    """Try so many times the examples of any other property; `EXAMPLES` multiplies these too."""
    return settings(max_examples=max(1, round(settings.default.max_examples * factor)))
