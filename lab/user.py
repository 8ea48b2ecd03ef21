"""The box of a person with a client."""

from __future__ import annotations

from lab.boxes import Box
from lab.layout import USER_BOX, Lab
from lab.netns import enter as enter_network


def user_box(lab: Lab) -> Box:
    """Return the box from which both clouds' APIs are reached."""
    return Box(lab, USER_BOX)


def enter(lab: Lab | None = None) -> None:
    """Move this single-threaded process into the user box's network.

    From then on an SDK in this process reaches both clouds' APIs (and nothing else).
    """
    enter_network(user_box(lab or Lab.named()))
