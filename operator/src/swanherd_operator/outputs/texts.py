"""Values as text."""

from __future__ import annotations

from typing import Any

import yaml


def yaml_of(value: Any) -> str:
    """Return a value as YAML, in its own order; nothing for an empty one."""
    if not value:
        return ""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=99)
