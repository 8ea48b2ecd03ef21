"""Which node of a redundant router serves, and whose SAs are older than another's: pure.

Cut off from each other, both nodes have the router's address, and the peers answer the one that
began last. Joined again, one gives it up (RFC 5798 §6.4.3), and VRRP doesn't tell the one that
keeps it that there was another. So who gives it up says since when it had it, and until when.
"""

from __future__ import annotations

import dataclasses
import json
import math

from swanherd.core.model import RouterId


@dataclasses.dataclass(frozen=True, slots=True)
class Tenure:
    """From when to when a node had a router's address, in seconds of its clock.

    `began` is None if that was before anybody looked, `ended` while it lasts.
    """

    began: float | None
    ended: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Later:
    """Another's tenure of a router's address, and when the server told of it, by our own clock."""

    began: float
    told_at: float


# Seconds by which one tenure must begin after another to be the later of the two.
SAME_TIME = 2.0


def gives_way(
    own_began: float, later: Later | None, others_end: float | None, now: float, lease: float
) -> bool:
    """Tell whether who has a router's address since then leaves its tunnels to another.

    Both have it while they are cut off from each other, and peers know the SAs of who began last:
    begun anew by the other they would go to and fro. The server's word counts for `lease` seconds,
    and until the other itself has said when it gave the address up (`others_end`).
    """
    if later is None or later.began <= own_began + SAME_TIME or now - later.told_at >= lease:
        return False
    return others_end is None or others_end < later.began


def tell(key: RouterId, tenure: Tenure, now: float) -> bytes:
    """Return the notice of a tenure that has ended: how long ago everything was."""
    began = None if tenure.began is None else now - tenure.began
    ended = None if tenure.ended is None else now - tenure.ended
    return json.dumps({"key": key, "began": began, "ended": ended}).encode()


def hear(notice: bytes, now: float) -> tuple[RouterId, Tenure] | None:
    """Return whose tenure of what a notice tells, by our own clock; None if it isn't one."""
    try:
        # A frame may be filled up to its least length (IEEE 802.3).
        told = json.loads(notice.rstrip(b"\0"))
        began = None if told["began"] is None else now - _ago(told["began"])
        return RouterId(str(told["key"])), Tenure(began, now - _ago(told["ended"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _ago(told: float | str) -> float:
    """Return how long ago something was: what ends later would be doubted at each look till then.

    JSON as Python reads it has infinities and numbers that no float holds.
    """
    seconds = float(told)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"nothing was {seconds} s ago")
    return seconds


def doubted(own: Tenure, other: Tenure) -> float | None:
    """Return before when our SAs may have been replaced by those of the other; None if never.

    Who began last has the SAs that the peers know. In a take-over we begin when the other has
    ended. If a beginning isn't known, SAs that are good are rather made anew.
    """
    if own.ended is not None or other.ended is None:
        return None
    if own.began is not None:
        if own.began >= other.ended:
            return None
        if other.began is not None and other.began < own.began:
            return None
    return other.ended
