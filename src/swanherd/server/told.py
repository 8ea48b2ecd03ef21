"""A tunnel's details as the API shows them, and when what an agent tells is news: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swanherd.core.model import ChildDetails, TunnelDetails

# Times that an agent tells are whole seconds, and a report may be this late.
SLACK = 5
_COUNTERS = ("bytes_in", "bytes_out", "packets_in", "packets_out")
_TIMES = ("established_s", "installed_s", "rekey_in_s", "expires_in_s")


def as_shown(details: TunnelDetails) -> dict[str, Any]:
    """Return what the API shows, without the time of the look."""
    ike = details.ike
    return {
        "ike": {
            "version": str(ike.version),
            "encryption": ike.encryption,
            "integrity": ike.integrity,
            "prf": ike.prf,
            "dh_group": ike.dh_group,
            "initiator": ike.initiator,
            "established_s": ike.established,
            "rekey_in_s": ike.rekey_in,
            "nat": ike.nat,
        },
        "children": [_child(child) for child in details.children],
    }


def _child(child: ChildDetails) -> dict[str, Any]:
    return {
        "local": child.local,
        "remote": child.remote,
        "encryption": child.encryption,
        "integrity": child.integrity,
        "dh_group": child.dh_group,
        "bytes_in": child.bytes_in,
        "bytes_out": child.bytes_out,
        "packets_in": child.packets_in,
        "packets_out": child.packets_out,
        "installed_s": child.installed,
        "rekey_in_s": child.rekey_in,
        "expires_in_s": child.expires_in,
    }


def is_news(
    known: Mapping[str, Any] | None, told: Mapping[str, Any] | None, elapsed: float, every: float
) -> bool:
    """Tell whether to write `told` over what was known `elapsed` seconds ago.

    At once if something was negotiated or ended; if only counters went on, every `every` seconds.
    """
    if known is None or told is None:
        return (known is None) != (told is None)
    before, after = _parts(known), _parts(told)
    if [_lasting(part) for part in before] != [_lasting(part) for part in after]:
        return True
    if any(_made_anew(b, a, elapsed) for b, a in zip(before, after, strict=True)):
        return True
    counted = [[part.get(key) for key in _COUNTERS] for part in before]
    return elapsed >= every and counted != [[p.get(key) for key in _COUNTERS] for p in after]


def _parts(tunnel: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [tunnel["ike"], *tunnel["children"]]


def _lasting(part: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in part.items() if key not in (*_COUNTERS, *_TIMES)}


def _made_anew(before: Mapping[str, Any], after: Mapping[str, Any], elapsed: float) -> bool:
    age = "established_s" if "established_s" in before else "installed_s"
    return bool(after[age] + SLACK < before[age] + elapsed)
