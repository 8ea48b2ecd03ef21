"""Networks around others, each with an address that nobody of those needs.

Of a thousand networks each is looked at once: they are compared as blocks in one set, not with
each other.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Container, Iterable, Iterator, Set

from swanherd.core.model import IPInterface, IPNetwork

# A block of addresses: IP version, prefix length and the prefix as a number. A parsed network
# costs ten times as much, and of these there are many.
_Block = tuple[int, int, int]


def within(inner: IPNetwork, outer: IPNetwork) -> bool:
    """Whether a network is another one or a part of it."""
    return (
        inner.version == outer.version
        and inner.prefixlen >= outer.prefixlen
        and inner.network_address in outer
    )


def covering(networks: Set[IPNetwork], taken: Set[IPNetwork]) -> frozenset[IPInterface]:
    """Return addresses that aren't `taken`, in networks that have all of `networks` in them.

    These are among what is taken, and none of them is "everywhere".
    """
    # What lies in one that is taken has nothing free beside it but what that one has.
    widest = {_not_all(n, outer) for n, outer in _in_widest(taken) if n in networks}
    enclosing = _enclosing(taken)
    return frozenset(_beside(network, enclosing) for network in widest)


def _in_widest(networks: Iterable[IPNetwork]) -> Iterator[tuple[IPNetwork, IPNetwork]]:
    """Yield each network with the widest of them that it lies in, itself if there is no other."""
    widest: IPNetwork | None = None
    # A network comes before those that lie in it, and these come next.
    for network in sorted(networks, key=ipaddress.get_mixed_type_key):
        if widest is None or not within(network, widest):
            widest = network
        yield network, widest


def _not_all(network: IPNetwork, widest: IPNetwork) -> IPNetwork:
    """Return `widest`, or the half of "everywhere" that a network lies in: all has no sibling."""
    return widest if widest.prefixlen else network.supernet(new_prefix=1)


def _block(network: IPNetwork) -> _Block:
    prefix = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
    return network.version, network.prefixlen, prefix


def _enclosing(networks: Iterable[IPNetwork]) -> set[_Block]:
    """Return the blocks that have one of the networks in them, those of the networks too."""
    found: set[_Block] = set()
    for network in networks:
        version, length, prefix = _block(network)
        while length >= 0 and (version, length, prefix) not in found:
            found.add((version, length, prefix))
            length, prefix = length - 1, prefix >> 1
    return found


def _beside(network: IPNetwork, enclosing: Container[_Block]) -> IPInterface:
    """Return an address in the smallest network around `network` that has a free block.

    Where there is none, the address is outside of `network` all the same. `enclosing`: the blocks
    that aren't free.
    """
    version, length, prefix = _block(network)
    # All zero is nobody's address at all.
    nobody = version, network.max_prefixlen, 0
    while length > 1 and (
        (beside := (version, length, prefix ^ 1)) in enclosing or beside == nobody
    ):
        length, prefix = length - 1, prefix >> 1
    # The first address of a block is hardly ever a host's.
    number = (prefix ^ 1) << (network.max_prefixlen - length) or 1
    address = type(network.network_address)(number)
    return ipaddress.ip_interface(f"{address}/{length - 1}")
