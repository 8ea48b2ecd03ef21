"""What a charon that died left in the kernel, and which of it can go. Pure.

After kill -9 the kernel's SAs carry traffic on. The charon that follows knows nothing of them: it
takes over the policies of the pairs that it negotiates again, and the rest stays until its
lifetime ends (docs/live.md §5). So ours to remove is what charon doesn't know, as soon as nothing
waits for a tunnel to take its place.
"""

from __future__ import annotations

from collections.abc import Iterable

from swanherd.core import precedence
from swanherd.core.ike import LIVE, ObservedCharon
from swanherd.core.index import index_of, spis_of
from swanherd.core.memo import remember_each, remember_pair
from swanherd.core.model import DesiredRouter, IkeVersion, TrafficSelector
from swanherd.core.naming import pair_name, pair_of
from swanherd.core.network import (
    KernelPolicy,
    KernelSa,
    NetworkAction,
    ObservedNetwork,
    RemoveKernelPolicy,
    RemoveKernelSa,
)
from swanherd.core.overlaps import Overlaps
from swanherd.core.peering import Peering, peerings
from swanherd.core.tunnels import carrying


def leftovers(
    desired: DesiredRouter, network: ObservedNetwork, charon: ObservedCharon
) -> Iterable[NetworkAction]:
    """Yield the removals; `network` was observed before `charon`, so no new SA is unknown."""
    if not charon.running or not (network.kernel_sas or network.kernel_policies):
        return
    wanted = peerings(desired)
    if unknown := _unknown(network, charon):
        waiting = {_ends(p) for p in wanted if _is_awaited(p, charon)}
        for sa in sorted(unknown, key=repr):
            if not waiting & {_of(sa), _of(sa)[::-1]}:
                yield RemoveKernelSa(sa)
    names = {name for peering in wanted for name in peering.children}
    if {child.name for sa in charon.ike_sas for child in sa.children} <= names:
        yield from map(RemoveKernelPolicy, _stale(network.kernel_policies, desired))


def bereft(
    desired: DesiredRouter, network: ObservedNetwork, charon: ObservedCharon
) -> frozenset[str]:
    """Return the configs that have no IKE SA yet, but SAs of a dead charon that carry on.

    The first negotiation tells the peer nothing of a new beginning: it would end the old SAs of
    all pairs, and those that aren't negotiated yet had none (docs/adr/0020).
    """
    orphans = set(map(_of, _unknown(network, charon)))
    if not orphans:
        return frozenset()
    up = {sa.config for sa in charon.ike_sas if sa.state in LIVE}
    return frozenset(
        peering.config.name
        for peering in peerings(desired)
        if peering.config.name not in up and _ends(peering) in orphans
    )


def _is_awaited(peering: Peering, charon: ObservedCharon) -> bool:
    """Tell whether a pair has nothing new yet, or nothing that the peer is sure to use."""
    name = peering.config.name
    own = index_of(charon).of(name)
    if peering.children - carrying(name, own):
        return True
    is_v1 = peering.config.connection.ike.version is IkeVersion.V1
    return is_v1 and bool(precedence.young(own))


def _ends(peering: Peering) -> tuple[str, str]:
    connection = peering.config.connection
    return str(connection.local_address), connection.peer_address


def _of(sa: KernelSa) -> tuple[str, str]:
    return str(sa.source), str(sa.destination)


def _unknown(network: ObservedNetwork, charon: ObservedCharon) -> list[KernelSa]:
    """Return the kernel's SAs that charon doesn't know."""
    known = spis_of(charon)
    return [sa for sa in network.kernel_sas if sa.spi not in known]


@remember_pair
def _stale(policies: frozenset[KernelPolicy], desired: DesiredRouter) -> tuple[KernelPolicy, ...]:
    """Return charon's policies of no wanted pair; a peer may have narrowed one (RFC 7296 §2.9)."""
    wanted = peerings(desired)
    names = frozenset().union(*filter(None, _each_names(wanted)))
    theirs = [policy for policy in policies if policy.welcome is None]
    named = zip(theirs, _each_name(theirs), strict=True)
    strange = [policy for policy, name in named if name not in names]
    if not strange:
        return ()
    pairs = Overlaps(child for peering in wanted for child in peering.config.children)
    return tuple(sorted((p for p in strange if not _is_within(p.selector, pairs)), key=repr))


@remember_each
def _each_names(peering: Peering) -> frozenset[str]:
    return frozenset(map(pair_of, peering.children))


@remember_each
def _each_name(policy: KernelPolicy) -> str:
    return pair_name(policy.selector)


def _is_within(narrow: TrafficSelector, pairs: Overlaps) -> bool:
    return any(narrow.common(wide) == narrow for _, wide in pairs.of(narrow))
