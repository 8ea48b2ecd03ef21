"""What a charon that died left in the kernel, and which of it can go. Pure.

After kill -9 the kernel's SAs carry traffic on. The charon that follows knows nothing of them: it
takes over the policies of the pairs that it negotiates again, and the rest stays until its
lifetime ends (docs/live.md §5). So ours to remove is what charon doesn't know, as soon as nothing
waits for a tunnel to take its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from swanherd.core import precedence
from swanherd.core.ike import LIVE, ObservedCharon
from swanherd.core.index import index_of
from swanherd.core.model import DesiredRouter, IkeVersion, TrafficSelector
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
    known = charon.spis
    waiting = {_ends(p) for p in wanted if _is_awaited(p, charon)}
    unknown = (sa for sa in network.kernel_sas if sa.spi not in known)
    for sa in sorted(unknown, key=repr):
        if not waiting & {_of(sa), _of(sa)[::-1]}:
            yield RemoveKernelSa(sa)
    names = {name for peering in wanted for name in peering.children}
    if all(child.name in names for sa in charon.ike_sas for child in sa.children):
        yield from map(RemoveKernelPolicy, _stale(network.kernel_policies, wanted))


def bereft(
    desired: DesiredRouter, network: ObservedNetwork, charon: ObservedCharon
) -> frozenset[str]:
    """Return the configs that have no IKE SA yet, but SAs of a dead charon that carry on.

    The first negotiation tells the peer nothing of a new beginning: it would end the old SAs of
    all pairs, and those that aren't negotiated yet had none (docs/adr/0020).
    """
    known = charon.spis
    orphans = {_of(sa) for sa in network.kernel_sas if sa.spi not in known}
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


def _stale(policies: Iterable[KernelPolicy], wanted: Iterable[Peering]) -> Iterator[KernelPolicy]:
    """Yield charon's policies of no wanted pair; a peer may have narrowed one (RFC 7296 §2.9)."""
    pairs = Overlaps(child for peering in wanted for child in peering.config.children)
    stale = (p for p in policies if p.welcome is None and not _is_within(p.selector, pairs))
    yield from sorted(stale, key=repr)


def _is_within(narrow: TrafficSelector, pairs: Overlaps) -> bool:
    return any(narrow.common(wide) == narrow for _, wide in pairs.of(narrow))
