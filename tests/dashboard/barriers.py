"""What axe finds that stands in somebody's way."""

import re


def grave(found):
    """Return what is serious and ours; the colours of links and buttons are Horizon's theme."""
    serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    barred = [(v["id"], node["html"]) for v in serious for node in v["nodes"]]
    return _invisible(found.get("incomplete", ())) + [
        (rule, html)
        for rule, html in barred
        if rule != "color-contrast" or not re.match(r"<(a|button) ", html)
    ]


def _invisible(undecided):
    """Return text that has its background's very colour: axe can't tell whether that is meant."""
    return [
        ("invisible", node["html"])
        for rule in undecided
        for node in rule["nodes"]
        for check in node["any"]
        if (check["data"] or {}).get("messageKey") == "equalRatio"
    ]
