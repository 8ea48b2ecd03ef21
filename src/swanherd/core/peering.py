"""Connections that share a peer: one IKE config for those that a responder can't tell apart.

Neutron has one connection for each family, and users make several to one peer. IKE has one
relation for each pair of identities: a responder that gets a negotiation from that peer takes
the first config that fits addresses and identities, whatever the traffic selectors are. So all
connections of a peering become children of one config (docs/adr/0009).

IKEv1 begins before any identity is known: the responder takes algorithms, and in main mode the
key, by addresses alone. So peerings of IKEv1 between the same addresses have these in common.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import itertools
import weakref
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from swanherd.core.ike import IkeConfig
from swanherd.core.memo import remember
from swanherd.core.model import (
    ConnectionId,
    DesiredRouter,
    IkeVersion,
    Initiator,
    Phase1Mode,
    RouterId,
    Secret,
    SiteConnection,
)
from swanherd.core.naming import child_name, config_name, generation, peering_id

# Addresses that mean "whoever knows the key": nobody to initiate to.
ANY_PEER = frozenset({"0.0.0.0", "::", "%any"})  # noqa: S104 (nothing is bound)


@remember
def is_unresolved(connection: SiteConnection) -> bool:
    """Tell whether the peer is but a name: where one was found, its address is in its place."""
    if connection.peer_address in ANY_PEER:
        return False
    try:
        ipaddress.ip_address(connection.peer_address)
    except ValueError:
        return True
    return False


@dataclasses.dataclass(frozen=True, slots=True, weakref_slot=True)
class Peering:
    """An IKE config and the connections whose children it has, sorted by id.

    The first one says how the IKE SA is negotiated, as far as IKEv1 lets it; those that want it
    otherwise, `unlike`, can't have it.
    """

    config: IkeConfig
    members: tuple[SiteConnection, ...]
    unlike: frozenset[ConnectionId]
    children: frozenset[str]  # the names of all

    def initiable(self) -> frozenset[str]:
        """Return the children that are ours to begin."""
        return frozenset(
            name
            for connection in self.members
            if connection.initiator is not Initiator.RESPONSE_ONLY
            and connection.peer_address not in ANY_PEER
            and not is_unresolved(connection)
            for name in children_of(connection)
        )


@remember
def children_of(connection: SiteConnection) -> frozenset[str]:
    """Return the names of a connection's children."""
    return frozenset(child_name(s, connection.ipsec) for s in connection.selectors)


@dataclasses.dataclass(frozen=True, slots=True, weakref_slot=True)
class _Made:
    """The peerings of some connections, and these by the objects that they are."""

    key: Secret
    connections: Mapping[int, SiteConnection]
    peerings: tuple[Peering, ...]


# The last ones of each router, as long as anyone has the desired state that they are of: nearly
# every change is of one connection, and to gather a thousand costs more than all else of it.
_LATEST: weakref.WeakValueDictionary[RouterId, _Made] = weakref.WeakValueDictionary()

_NAME = attrgetter("config.name")


def peerings(desired: DesiredRouter) -> tuple[Peering, ...]:
    """Return what charon should have loaded, sorted by the configs' names."""
    return _made(desired).peerings


@remember
def _made(desired: DesiredRouter) -> _Made:
    key, connections = desired.naming_key, desired.connections
    by_object = dict(zip(map(id, connections), connections, strict=True))
    before = _LATEST.get(desired.id)
    found = None if before is None or before.key != key else _changed(before, by_object)
    if found is None:
        found = _gathered(connections, key)
    made = _Made(key, by_object, tuple(sorted(found, key=_NAME)))
    _LATEST[desired.id] = made
    return made


def _changed(before: _Made, now: Mapping[int, SiteConnection]) -> list[Peering] | None:
    """Return the peerings after a change: those of before, but for what the change touches.

    None if IKEv1 is concerned, where one connection may decide for others (`_first_between`).
    """
    gone = [before.connections[i] for i in before.connections.keys() - now.keys()]
    come = [now[i] for i in now.keys() - before.connections.keys()]
    if any(c.ike.version is IkeVersion.V1 for c in (*gone, *come)):
        return None
    touched = {peering_id(c, before.key) for c in (*gone, *come)}
    others = [p for p in before.peerings if p.config.connection.id not in touched]
    same = [p for p in before.peerings if p.config.connection.id in touched]
    members = [c for peering in same for c in peering.members if id(c) in now]
    return [*others, *_gathered([*members, *come], before.key)]


def _gathered(connections: Iterable[SiteConnection], key: Secret) -> list[Peering]:
    wanted = [c for c in connections if c.up and c.local_address is not None and c.selectors]
    firsts = _first_between(wanted)
    by_peering = itertools.groupby(
        sorted(((peering_id(c, key), c) for c in wanted), key=lambda item: (item[0], item[1].id)),
        key=lambda item: item[0],
    )
    return [_peering(key, i, [c for _, c in items], firsts) for i, items in by_peering]


@remember
def config_order(desired: DesiredRouter) -> tuple[str, ...]:
    """Return the names of the peerings' configs, in their order."""
    return tuple(map(_NAME, peerings(desired)))


@remember
def by_member(desired: DesiredRouter) -> Mapping[ConnectionId, Peering]:
    """Return the peering of each connection that has one."""
    return {c.id: p for p in peerings(desired) for c in p.members}


@remember
def all_unlike(desired: DesiredRouter) -> frozenset[ConnectionId]:
    """Return the connections that can't be negotiated as they want it."""
    return frozenset([c for p in peerings(desired) if p.unlike for c in p.unlike])


@remember
def by_identity(desired: DesiredRouter) -> Mapping[ConnectionId, Peering]:
    """Return each peering by the id that its connections share."""
    return {p.config.connection.id: p for p in peerings(desired)}


@remember
def config_names(desired: DesiredRouter) -> frozenset[str]:
    """Return the names of all configs that charon should have loaded."""
    return frozenset(config_order(desired))


@remember
def each_config(desired: DesiredRouter) -> tuple[str, ...]:
    """Return the name of each connection's config, in the connections' order; "" without one."""
    found = map(by_member(desired).get, [c.id for c in desired.connections])
    return tuple(["" if peering is None else peering.config.name for peering in found])


def ike_config(connection: SiteConnection, key: Secret) -> IkeConfig:
    """Return the config of a connection that is alone in its peering."""
    return _peering(key, peering_id(connection, key), [connection], {}).config


def _first_between(
    connections: Iterable[SiteConnection],
) -> Mapping[tuple[str, ...], SiteConnection]:
    """Return the connection of IKEv1 whose algorithms, or key, hold between two addresses."""
    found: dict[tuple[str, ...], SiteConnection] = {}
    old = (c for c in connections if c.ike.version is IkeVersion.V1)
    for connection in sorted(old, key=lambda c: c.id):
        found.setdefault(_between(connection), connection)
        if connection.ike.mode is Phase1Mode.MAIN:
            found.setdefault((*_between(connection), "key"), connection)
    return found


def _between(connection: SiteConnection) -> tuple[str, ...]:
    peer = connection.peer_address
    return str(connection.local_address), "%any" if peer in ANY_PEER else peer


def _as_negotiated(
    connection: SiteConnection, firsts: Mapping[tuple[str, ...], SiteConnection]
) -> SiteConnection:
    """Return the connection with what the responder takes before it knows who comes.

    RFC 2409 §5: proposals are in the first message, identities in the fifth; in main mode the
    key already encrypts them (§5.4). strongSwan takes the first config of the addresses.
    """
    ike = connection.ike
    if ike.version is not IkeVersion.V1 or not firsts:
        return connection
    between = _between(connection)
    policy, holder = firsts[between].ike, firsts.get((*between, "key"), connection)
    ike = dataclasses.replace(
        ike,
        encryption=policy.encryption,
        integrity=policy.integrity,
        dh_group=policy.dh_group,
    )
    psk = holder.psk if ike.mode is Phase1Mode.MAIN else connection.psk
    return dataclasses.replace(connection, ike=ike, psk=psk)


def _peering(
    key: Secret,
    identity: ConnectionId,
    members: Iterable[SiteConnection],
    firsts: Mapping[tuple[str, ...], SiteConnection],
) -> Peering:
    own, *others = members
    first = _as_negotiated(own, firsts)
    if not others and (first is own or first == own):
        return _alone(own, key, identity)
    config = _config(first, others, key, identity)
    digest = generation(first, key)
    unlike = (c.id for c in (own, *others) if generation(c, key) != digest)
    names = frozenset(name for name, _ in config.children)
    return Peering(config, (own, *others), frozenset(unlike), names)


# A peering holds its connection, so one that is found by its number here is that connection's.
_ALONE: weakref.WeakValueDictionary[tuple[int, ConnectionId], Peering] = (
    weakref.WeakValueDictionary()
)


def _alone(connection: SiteConnection, key: Secret, identity: ConnectionId) -> Peering:
    """Return the peering of one connection: the same object while anyone has it."""
    known = _ALONE.get((id(connection), identity))
    if known is not None:
        return known
    config = _config(connection, (), key, identity)
    made = Peering(config, (connection,), frozenset(), children_of(connection))
    _ALONE[id(connection), identity] = made
    return made


def _config(
    first: SiteConnection, others: Sequence[SiteConnection], key: Secret, identity: ConnectionId
) -> IkeConfig:
    children = {
        child_name(s, c.ipsec): (s, c.ipsec) for c in (first, *others) for s in c.selectors
    }
    names = sorted(children)
    selectors = sorted({s for s, _ in children.values()}, key=lambda s: s.sort_key)
    return IkeConfig(
        config_name(identity, generation(first, key)),
        dataclasses.replace(first, id=identity, selectors=tuple(selectors)),
        tuple((name, children[name][0]) for name in names),
        tuple((name, children[name][1]) for name in names),
    )
