"""What of a router's own namespace a turn waits for: Neutron's L3 agent makes it."""

from __future__ import annotations

from swanherd.core.model import Reason

MISSING = Reason(
    "router_namespace_missing",
    "The L3 agent hasn't made the router's namespace on its node.",
    "See the L3 agent's log.",
)

NO_ADDRESS = Reason(
    "router_address_missing",
    "The L3 agent hasn't given the router's public address to its device yet.",
    "See the L3 agent's log.",
)

DUPLICATE = Reason(
    "router_address_duplicate",
    "Another node still has an IPv6 address of the router's, which can't be used here until then.",
    "If it stays, see which L3 agents have the router, and what else has its address.",
)
