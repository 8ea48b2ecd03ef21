"""How packets get in by the old child SA and by the new one for as long as both are used. Pure.

charon's policies for what comes in name one tunnel: its source, its reqid, its protocol. If the
new child SA differs in any of these from the one whose place it takes, the kernel drops what the
peer sends by the other one of both, for a round trip or for as long as both live (docs/adr/0024).
So meanwhile there is a policy of ours before charon's that lets in both, and one by which packets
go out by the new one before a narrower old one ends (docs/adr/0027).
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping

from swanherd.core import handover
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
from swanherd.core.index import index_of
from swanherd.core.model import (
    DesiredRouter,
    Encapsulation,
    IkeVersion,
    IPAddress,
    IpsecPolicy,
    TrafficSelector,
    Transform,
)
from swanherd.core.naming import is_child_name, peering_of, reqid_of
from swanherd.core.network import (
    Direction,
    EnsureKernelPolicy,
    KernelPolicy,
    ObservedNetwork,
    RemoveKernelPolicy,
    Welcome,
)
from swanherd.core.overlaps import heirs, narrower
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
    of_wanted = {peering.config.name: peering.children for peering in wanted}
    children = defaultdict[str, frozenset[str]](frozenset, of_wanted)
    old = [
        (sa, child)
        for sa in charon.ike_sas
        for child in sa.children
        if child.state in _THERE and child.name not in children[sa.config]
        # The kernel tells those of a strange one by a number that charon chose.
        if is_child_name(child.name)
    ]
    if not old:
        return
    of_peering: dict[str | None, list[tuple[IkeSa, ChildSa]]] = defaultdict(list)
    of_name: dict[str, list[tuple[IkeSa, ChildSa]]] = defaultdict(list)
    for sa, child in old:
        of_peering[peering_of(sa.config)].append((sa, child))
        of_name[child.name].append((sa, child))
    current, names = index_of(charon), frozenset(of_name)
    # One old child is of few of a thousand peerings.
    for peering in [
        p for p in wanted if p.config.connection.id in of_peering or p.children & names
    ]:
        own = of_peering.get(peering.config.connection.id, [])
        yield from _inward(peering, own, of_name)
        gone = [(s, c) for s, c in own if c.unique_id in ending or c.state is SaState.DELETING]
        # Its new children are there when the peer has them, or sends the message that makes them.
        first = peering.config.connection.ike.version is IkeVersion.V1
        outward = _outward(peering, own if first else gone, current.of(peering.config.name))
        if ranks.get(peering.config.name, handover.FIRST) > handover.FIRST:
            ended = {child.unique_id for _, child in gone}
            kept = [(sa, child) for sa, child in own if child.unique_id not in ended]
            outward = _held(peering, kept) | outward
        for shared, way in outward.items():
            yield KernelPolicy(shared, Direction.OUT, way)


def _inward(
    peering: Peering, own: _Children, of_name: Mapping[str, _Children]
) -> Iterator[KernelPolicy]:
    """Yield those of what old children have in common with the peering's own.

    Old ones are its `own`, and those of any connection that differ in nothing but the peer: by
    their name.
    """
    connection = peering.config.connection
    policies, selectors = dict(peering.config.policies), dict(peering.config.children)
    tunnels: dict[TrafficSelector, set[tuple[int, int]]] = defaultdict(set)

    def has_moved(sa: IkeSa) -> bool:
        return sa.config != peering.config.name and sa.remote_host != connection.peer_address

    for name in peering.children & of_name.keys():
        new = _tunnel(name, policies.get(name, connection.ipsec))
        if new and any(has_moved(sa) for sa, _ in of_name[name]):
            tunnels[selectors[name]].add(new)
    for sa, child in own:
        before, old = _tunnel_of(child), child.selector
        for name, selector in heirs(peering, child):
            new = _tunnel(name, policies.get(name, connection.ipsec))
            shared = old.common(selector) if old and name != child.name else None
            if new and shared and (before != new or has_moved(sa)):
                tunnels[shared] |= {new, before}
    for shared, both in tunnels.items():
        welcome = Welcome(tuple(sorted(both)), handover.ahead(shared))
        for direction in (Direction.IN, Direction.FORWARD):
            yield KernelPolicy(shared, direction, welcome)


def _outward(
    peering: Peering, gone: _Children, current: Iterable[IkeSa]
) -> dict[TrafficSelector, Welcome]:
    """Return those by which packets go out by the new child SA instead of an old one.

    The old one's own, of a network that is narrower, would go before the new one's. So what this
    side sends until it hears that the peer has ended the old one, or until the peer has answered
    that, would be lost.
    """
    policies = dict(peering.config.policies)
    new = {
        child.name: (sa, child)
        for sa in (current if gone else ())
        for child in sa.children
        if child.name in peering.children and child.state in CARRYING
    }
    ways: dict[TrafficSelector, Welcome] = {}
    for _, ended in gone:
        for name in {name for name, _ in heirs(peering, ended)} & new.keys():
            sa, child = new[name]
            tunnel = _tunnel(name, policies.get(name, peering.config.connection.ipsec))
            one, other = child.selector, ended.selector
            shared = one.common(other) if one and other else None
            if tunnel and shared is not None and reqid_of(ended.name) != reqid_of(name):
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
        for name, selector in narrower(peering, child) if sa.config == peering.config.name else ():
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
