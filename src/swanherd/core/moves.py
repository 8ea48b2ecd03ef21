"""How a peer that moves is heard at both of its addresses for as long as both are used. Pure.

charon's policy for what comes in of a pair names the SA's source, and is replaced by that of the
new child SA. What the peer goes on sending by the old one is then dropped, for a round trip in
IKEv1 (docs/adr/0024). So meanwhile there is a policy of ours before it that names no source.
"""

from __future__ import annotations

from collections.abc import Iterator

from swanherd.core import handover
from swanherd.core.ike import CARRYING, ObservedCharon
from swanherd.core.model import DesiredRouter, Encapsulation, IpsecPolicy, Transform
from swanherd.core.naming import reqid_of
from swanherd.core.network import (
    Direction,
    EnsureKernelPolicy,
    KernelPolicy,
    ObservedNetwork,
    RemoveKernelPolicy,
    Welcome,
)
from swanherd.core.peering import Peering, config_names, peerings

_PROTOCOLS = {Transform.ESP: 50, Transform.AH: 51}


def welcomes(
    desired: DesiredRouter, network: ObservedNetwork, charon: ObservedCharon
) -> tuple[tuple[EnsureKernelPolicy, ...], tuple[RemoveKernelPolicy, ...]]:
    """Return what to add before anything begins, and what to remove after everything."""
    wanted = frozenset(_wanted(desired, charon)) if handover.is_possible(charon) else frozenset()
    missing = sorted(wanted - network.kernel_policies, key=repr)
    return tuple(map(EnsureKernelPolicy, missing)), farewells(network, wanted)


def farewells(
    network: ObservedNetwork, wanted: frozenset[KernelPolicy] = frozenset()
) -> tuple[RemoveKernelPolicy, ...]:
    """Return the ends of what is ours, unless it is wanted or will be replaced."""
    kept = {(p.selector, p.direction) for p in wanted}
    ours = [p for p in network.kernel_policies if p.welcome is not None]
    gone = [p for p in ours if (p.selector, p.direction) not in kept]
    return tuple(map(RemoveKernelPolicy, sorted(gone, key=repr)))


def _wanted(desired: DesiredRouter, charon: ObservedCharon) -> Iterator[KernelPolicy]:
    """Yield the policies of the children that another peer's address has, too.

    Only what is equal but for that: by a policy of ours alone packets of both have to get in.
    """
    names = config_names(desired)
    old = {
        (child.name, sa.remote_host)
        for sa in charon.ike_sas
        if sa.config not in names
        for child in sa.children
        if child.state in CARRYING
    }
    if not old:
        return
    for peering in peerings(desired):
        new = peering.config.connection.peer_address
        yield from _of(peering, frozenset(name for name, peer in old if peer != new))


def _of(peering: Peering, children: frozenset[str]) -> Iterator[KernelPolicy]:
    config = peering.config
    policies = dict(config.policies)
    for name, selector in config.children if children else ():
        protocol = _protocol(policies.get(name, config.connection.ipsec))
        if name not in children or protocol is None:
            continue
        welcome = Welcome(protocol, reqid_of(name), handover.ahead(selector))
        for direction in (Direction.IN, Direction.FORWARD):
            yield KernelPolicy(selector, direction, welcome)


def _protocol(policy: IpsecPolicy) -> int | None:
    """Return the protocol of a tunnel; a transport's policies name no addresses but its pair."""
    return _PROTOCOLS.get(policy.transform) if policy.mode is Encapsulation.TUNNEL else None
