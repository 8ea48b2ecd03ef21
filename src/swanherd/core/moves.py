"""How packets get in by the old child SA and by the new one for as long as both are used. Pure.

charon's policies for what comes in name one tunnel: its source, its reqid, its protocol. If the
new child SA differs in any of these from the one whose place it takes, the kernel drops what the
peer sends by the other one of both, for a round trip or for as long as both live (docs/adr/0024).
So meanwhile there is a policy of ours before charon's that lets in both, and one by which packets
go out by the new one before a narrower old one ends (docs/adr/0027).
"""

from __future__ import annotations

import ipaddress
import itertools
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping

from swanherd.core import handover
from swanherd.core.ends import relieves
from swanherd.core.ike import (
    CARRYING,
    ChildSa,
    IkeSa,
    LoadConfig,
    ObservedCharon,
    SaState,
    SwanAction,
    TerminateChild,
)
from swanherd.core.model import (
    DesiredRouter,
    Encapsulation,
    IkeVersion,
    IPAddress,
    IpsecPolicy,
    TrafficSelector,
    Transform,
)
from swanherd.core.naming import peering_of, reqid_of
from swanherd.core.network import (
    Direction,
    EnsureKernelPolicy,
    KernelPolicy,
    ObservedNetwork,
    RemoveKernelPolicy,
    Welcome,
)
from swanherd.core.peering import Peering, peerings

_ESP, _AH = 50, 51
_PROTOCOLS = {Transform.ESP: _ESP, Transform.AH: _AH}

_Children = Collection[tuple[IkeSa, ChildSa]]

# charon's policies of a child are there until the peer has answered that it has ended it, too.
# And those of one that IKEv1 has renewed until it expires.
_THERE = CARRYING | {SaState.DELETING, SaState.REKEYED}


def welcomes(
    desired: DesiredRouter,
    network: ObservedNetwork,
    charon: ObservedCharon,
    actions: Iterable[SwanAction],
) -> tuple[tuple[EnsureKernelPolicy, ...], tuple[RemoveKernelPolicy, ...]]:
    """Return what to add before these actions begin, and what to remove after everything."""
    plan = tuple(actions)
    ending = frozenset(a.unique_id for a in plan if isinstance(a, TerminateChild))
    loads = {a.config.name: a.rank for a in plan if isinstance(a, LoadConfig)}
    ranks = {**charon.ranks, **loads}
    possible = handover.is_possible(charon)
    wanted = frozenset(_wanted(desired, charon, ending, ranks)) if possible else frozenset()
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


def _wanted(
    desired: DesiredRouter,
    charon: ObservedCharon,
    ending: Container[int],
    ranks: Mapping[str, int],
) -> Iterator[KernelPolicy]:
    """Yield the policies of what is protected by another child SA than it shall be, too."""
    wanted = peerings(desired)
    children = {peering.config.name: peering.children for peering in wanted}
    old = [
        (sa, child)
        for sa in charon.ike_sas
        for child in sa.children
        if child.state in _THERE and child.name not in children.get(sa.config, ())
    ]
    if not old:
        return
    gone = [
        (sa, child)
        for sa, child in old
        if child.unique_id in ending or child.state is SaState.DELETING
    ]
    for peering in wanted:
        yield from _inward(peering, old)
        # Its new children are there when the peer has them, or sends the message that makes them.
        first = peering.config.connection.ike.version is IkeVersion.V1
        outward = _outward(peering, old if first else gone, charon)
        if ranks.get(peering.config.name, handover.FIRST) > handover.FIRST:
            outward = _held(peering, [pair for pair in old if pair not in gone]) | outward
        for shared, way in outward.items():
            yield KernelPolicy(shared, Direction.OUT, way)


def _inward(peering: Peering, old: _Children) -> Iterator[KernelPolicy]:
    """Yield those of what old children have in common with the peering's own.

    Old ones are its own, and those of any connection that differ in nothing but the peer.
    """
    connection = peering.config.connection
    policies = dict(peering.config.policies)
    tunnels: dict[TrafficSelector, set[tuple[int, int]]] = defaultdict(set)
    for name, selector in peering.config.children:
        new = _tunnel(name, policies.get(name, connection.ipsec))
        if new is None:
            continue
        for sa, child in old:
            if child.name != name and peering_of(sa.config) != connection.id:
                continue
            before = new if child.name == name else _tunnel_of(child)
            moved = sa.config != peering.config.name and sa.remote_host != connection.peer_address
            negotiated = selector if child.name == name else child.selector
            shared = negotiated.common(selector) if negotiated is not None else None
            if shared is not None and (moved or before != new):
                tunnels[shared] |= {new, before}
    for shared, both in tunnels.items():
        welcome = Welcome(tuple(sorted(both)), handover.ahead(shared))
        for direction in (Direction.IN, Direction.FORWARD):
            yield KernelPolicy(shared, direction, welcome)


def _outward(
    peering: Peering, gone: _Children, charon: ObservedCharon
) -> dict[TrafficSelector, Welcome]:
    """Return those by which packets go out by the new child SA instead of an old one.

    The old one's own, of a network that is narrower, would go before the new one's. So what this
    side sends until it hears that the peer has ended the old one, or until the peer has answered
    that, would be lost.
    """
    connection = peering.config.connection
    policies = dict(peering.config.policies)
    ours = [(sa, child) for sa, child in gone if peering_of(sa.config) == connection.id]
    new = [
        (sa, child)
        for sa in (charon.ike_sas if ours else ())
        for child in sa.children
        if sa.config == peering.config.name
        and child.name in peering.children
        and child.state in CARRYING
    ]
    ways: dict[TrafficSelector, Welcome] = {}
    for (sa, child), (_, ended) in itertools.product(new, ours):
        tunnel = _tunnel(child.name, policies.get(child.name, connection.ipsec))
        one, other = child.selector, ended.selector
        shared = one.common(other) if one and other else None
        if tunnel and shared is not None and reqid_of(ended.name) != reqid_of(child.name):
            ways[shared] = Welcome((tunnel,), handover.ahead(shared), _ends(sa))
    return ways


def _held(peering: Peering, kept: _Children) -> dict[TrafficSelector, Welcome]:
    """Return those by which packets of a narrower network still go out by the old child SA.

    charon would send by the new one, whose network is the narrower, as soon as it has answered,
    whatever rank it has (core.handover): before the peer has installed it.
    """
    policies = dict(peering.config.policies)
    ways: dict[TrafficSelector, Welcome] = {}
    for sa, child in kept:
        if sa.config != peering.config.name:
            continue
        for name, selector in peering.config.children:
            if not relieves(child, (selector,)):
                continue
            if _tunnel(name, policies.get(name, peering.config.connection.ipsec)):
                ways[selector] = Welcome((_tunnel_of(child),), handover.ahead(selector), _ends(sa))
    return ways


def _ends(sa: IkeSa) -> tuple[IPAddress, IPAddress]:
    return ipaddress.ip_address(sa.local_host), ipaddress.ip_address(sa.remote_host)


def _tunnel(name: str, policy: IpsecPolicy) -> tuple[int, int] | None:
    """Return how a tunnel is told; a transport's policies name no addresses but its pair."""
    if policy.mode is not Encapsulation.TUNNEL or policy.transform not in _PROTOCOLS:
        return None
    return _PROTOCOLS[policy.transform], reqid_of(name)


def _tunnel_of(child: ChildSa) -> tuple[int, int]:
    """Return how an old child's tunnel is told: AH has no encryption."""
    encrypted = child.details is None or child.details.encryption is not None
    return _ESP if encrypted else _AH, reqid_of(child.name)
