"""What axe finds that stands in somebody's way."""

import re


def grave(violations):
    """Return what is serious and ours; the colours of links and buttons are Horizon's theme."""
    serious = [v for v in violations if v["impact"] in ("serious", "critical")]
    found = [(v["id"], node["html"]) for v in serious for node in v["nodes"]]
    return [
        (rule, html)
        for rule, html in found
        if rule != "color-contrast" or not re.match(r"<(a|button) ", html)
    ]
