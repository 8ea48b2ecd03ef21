"""A doctor's findings as a table for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_MARKS = {"ok": "ok", "warning": "warn", "failed": "FAIL", "unknown": "?"}
_SUMMARY = {
    "ok": "All is well.",
    "warning": "It works or may come to work; look at what is marked `warn`.",
    "failed": "Something is wrong; what is marked `FAIL` tells what to do.",
}


def exit_status(result: Mapping[str, Any]) -> int:
    """Return 0 if nothing failed, 1 if the router isn't here, 3 if something failed."""
    if not result["placed_here"]:
        return 1
    return 3 if result["verdict"] == "failed" else 0


def render(result: Mapping[str, Any]) -> Iterable[str]:
    """Yield the lines of the table: a block for the router and one for each connection."""
    if not result["placed_here"]:
        yield "This agent serves no router and no connection of that id."
        return
    yield f"router {result['router']}  data plane {result['data_plane']}"
    subjects: dict[str, list[Mapping[str, Any]]] = {}
    for finding in result["findings"]:
        subjects.setdefault(finding["subject"], []).append(finding)
    for subject, findings in subjects.items():
        if subject != "router":
            yield ""
            yield f"connection {subject}"
        yield from _table(findings)
    yield ""
    yield _SUMMARY[result["verdict"]]


def _table(findings: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    width = max(len(finding["check"]) for finding in findings)
    for finding in findings:
        mark, check = _MARKS[finding["verdict"]], finding["check"]
        said = finding["seen"]
        if finding["verdict"] != "ok" and finding["wanted"] not in ("", "none"):
            said = f"{said}  (wanted: {finding['wanted']})"
        yield f"  {mark:<5} {check:<{width}}  {said}"
        if finding["hint"]:
            yield f"        {'':<{width}}  → {finding['hint']}"
