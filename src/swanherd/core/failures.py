"""The two kinds of failure that adapters raise.

Failure
├── Temporary   the queue tries again with backoff
└── Permanent   the same try would fail again: ERROR with the reason, tried again rarely
"""

from __future__ import annotations

from swanherd.core.model import Reason, RouterId


class Failure(Exception):
    """Something could not be done for a router."""

    def __init__(self, router_id: RouterId, reason: Reason) -> None:
        super().__init__(f"router {router_id}: {reason.code}: {reason.text}")
        self.router_id = router_id
        self.reason = reason


class Temporary(Failure):
    """Worth another try soon: a daemon restarts, a socket isn't there yet."""


class Permanent(Failure):
    """Not worth a quick retry: the daemon refused it, or the value can't be honoured."""
