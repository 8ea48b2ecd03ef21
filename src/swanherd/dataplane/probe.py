"""The way to a peer, and the node's clock, as the core's values."""

from __future__ import annotations

from swanherd.core.findings import Answer, PathSeen
from swanherd.core.model import IPAddress, RouterId
from swanherd.dataplane.failing import failing
from swanherd.dataplane.namespace import name_of
from swanherd.dataplane.privileged import probe

# Sizes of IP packets that links and tunnels on the way leave, in bytes.
_USUAL = (9000, 1500, 1492, 1480, 1460, 1450, 1442, 1430, 1420, 1400, 1380, 1350, 1300, 1280, 576)
_LEAST = {4: 576, 6: 1280}
# charon's own mark: a peer CIDR may contain the peer, and the question must go around the tunnel.
_MARK = 0x42


def path_to(
    router_id: RouterId, local: IPAddress, peer: IPAddress, link_mtu: int, seconds: float = 1.5
) -> PathSeen:
    """Ask a peer of the router; takes at most `seconds`. Raises Temporary or Permanent."""
    sizes = {link_mtu, *_USUAL}
    fitting = sorted(size for size in sizes if _LEAST[peer.version] <= size <= link_mtu)
    with failing(router_id, "namespace_failed"):
        seen = probe.probe(name_of(router_id), str(local), str(peer), fitting, _MARK, seconds)
    return PathSeen(
        seen["route"],
        tuple((number, Answer(answer)) for number, answer in seen["ports"]),
        echo=bool(seen["largest"]),
        largest=seen["largest"] or None,
    )


def clock_is_synchronised() -> bool | None:
    """Tell whether the kernel says that its clock is disciplined; None if it doesn't say."""
    synchronised: bool | None = probe.clock_is_synchronised()
    return synchronised
