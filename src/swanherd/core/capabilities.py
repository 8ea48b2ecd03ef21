"""What a data plane can't do of what the API offers: told by name, never replaced by another."""

from __future__ import annotations

import dataclasses

from swanherd.core.memo import remember, remember_each
from swanherd.core.model import (
    DataPlane,
    DesiredRouter,
    Encapsulation,
    IpsecPolicy,
    Reason,
    SiteConnection,
    Transform,
)

_HINT = "Use an ipsecpolicy of esp in tunnel mode, or ask the operator for kernel ESP."

TRANSPORT_UNSUPPORTED = Reason(
    "transport_mode_unsupported",
    "The gateway's userspace data plane has no transport mode.",
    _HINT,
)
AH_UNSUPPORTED = Reason("ah_unsupported", "The gateway's userspace data plane has no AH.", _HINT)


def limitation(policy: IpsecPolicy, plane: DataPlane) -> Reason | None:
    """Return why the data plane can't do what the policy says, None if it can."""
    if plane is DataPlane.KERNEL:
        return None
    if policy.transform is not Transform.ESP:
        return AH_UNSUPPORTED
    return TRANSPORT_UNSUPPORTED if policy.mode is Encapsulation.TRANSPORT else None


def serviceable(desired: DesiredRouter, plane: DataPlane) -> DesiredRouter:
    """Return what of the router can be negotiated; the rest is only guarded (fail closed)."""
    if _is_serviceable(desired, plane):
        return desired
    connections = tuple(
        dataclasses.replace(c, up=False) if limitation(c.ipsec, plane) else c
        for c in desired.connections
    )
    return dataclasses.replace(desired, connections=connections)


@remember
def _is_serviceable(desired: DesiredRouter, plane: DataPlane) -> bool:
    return not any(_each_limitation(desired.connections, rest=(plane,)))


@remember_each
def _each_limitation(connection: SiteConnection, plane: DataPlane) -> Reason | bool:
    return limitation(connection.ipsec, plane) or False
