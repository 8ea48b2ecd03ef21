"""Connections that share a peer: one IKE config for those that a responder can't tell apart.

Neutron has one connection for each family, and users make several to one peer. IKE has one
relation for each pair of identities: a responder that gets a negotiation from that peer takes
the first config that fits addresses and identities, whatever the traffic selectors are. So all
connections of a peering become children of one config (docs/adr/0009).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence

from swanherd.core.ike import IkeConfig
from swanherd.core.memo import remember
from swanherd.core.model import (
    ConnectionId,
    DesiredRouter,
    Initiator,
    Secret,
    SiteConnection,
)
from swanherd.core.naming import child_name, config_name, generation, peering_id

# Addresses that mean "whoever knows the key": nobody to initiate to.
ANY_PEER = frozenset({"0.0.0.0", "::", "%any"})  # noqa: S104 (nothing is bound)


@dataclasses.dataclass(frozen=True, slots=True)
class Peering:
    """An IKE config and the connections whose children it has, sorted by id.

    The first one says how the IKE SA is negotiated; those that want it otherwise, `unlike`,
    can't have it.
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
            for name in children_of(connection)
        )


@remember
def children_of(connection: SiteConnection) -> frozenset[str]:
    """Return the names of a connection's children."""
    return frozenset(child_name(s, connection.ipsec) for s in connection.selectors)


@remember
def peerings(desired: DesiredRouter) -> tuple[Peering, ...]:
    """Return what charon should have loaded, sorted by the configs' names."""
    key = desired.naming_key
    wanted = (
        (peering_id(c, key), c)
        for c in desired.connections
        if c.up and c.local_address is not None and c.selectors
    )
    by_peering = itertools.groupby(
        sorted(wanted, key=lambda item: (item[0], item[1].id)), key=lambda item: item[0]
    )
    found = (_peering(key, i, [c for _, c in items]) for i, items in by_peering)
    return tuple(sorted(found, key=lambda peering: peering.config.name))


def ike_config(connection: SiteConnection, key: Secret) -> IkeConfig:
    """Return the config of a connection that is alone in its peering."""
    return _peering(key, peering_id(connection, key), [connection]).config


def _peering(key: Secret, identity: ConnectionId, members: Iterable[SiteConnection]) -> Peering:
    first, *others = members
    if not others:
        config = _config_alone(first, key, identity)
        return Peering(config, (first,), frozenset(), children_of(first))
    config = _config(first, others, key, identity)
    digest = generation(first, key)
    unlike = (c.id for c in others if generation(c, key) != digest)
    names = frozenset(name for name, _ in config.children)
    return Peering(config, (first, *others), frozenset(unlike), names)


@remember
def _config_alone(connection: SiteConnection, key: Secret, identity: ConnectionId) -> IkeConfig:
    return _config(connection, (), key, identity)


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
