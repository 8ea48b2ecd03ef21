"""An agent's health for people and for exec probes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def ready_status(result: Mapping[str, Any]) -> int:
    """Return 0 if the agent does all that it should, else 3."""
    return 0 if result["ready"] else 3


def live_status(result: Mapping[str, Any]) -> int:
    """Return 0 if no restart is needed, else 3."""
    return 0 if result["alive"] else 3


def render(result: Mapping[str, Any]) -> Iterable[str]:
    """Yield a line for each check, with what to do about one that fails."""
    for check in result["checks"]:
        reason = check["reason"]
        said = f"  {reason['code']}: {reason['text']}" if reason else ""
        yield f"{'ok' if check['ok'] else 'FAIL':<5} {check['name']:<10}{said}".rstrip()
        if reason and reason["hint"]:
            yield f"      → {reason['hint']}"
