"""How peer CIDRs get a route where their family has no default route."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swanherd.core.covering import covering
from swanherd.core.model import IPNetwork, TrafficSelector
from swanherd.core.steering import Surroundings
from tests.unit.core.test_steering import networks, rows
from tests.unit.steps import calls_of

# Neighbours, so that one often lies in another or beside it.
NEAR = st.builds(
    lambda number, length: ipaddress.ip_network(
        ((0x0A000000 | number) >> (32 - length) << (32 - length), length)
    ),
    st.integers(0, 2**9),
    st.integers(23, 32),
)


def around(network: IPNetwork) -> Iterator[tuple[IPNetwork, IPNetwork]]:
    """Yield the networks around one, narrowest first, each with its half that hasn't it."""
    while network.prefixlen:
        outer = network.supernet()
        yield outer, next(half for half in outer.subnets() if half != network)
        network = outer


@given(st.frozensets(st.one_of(NEAR, networks(4, 1), networks(6, 1)), min_size=1, max_size=10))
@example(frozenset([ipaddress.ip_network("0.0.0.1/32")]))
@example(frozenset([ipaddress.ip_network("::1/128")]))
def test_each_is_covered_by_the_narrowest_network_with_a_free_half(
    taken: frozenset[IPNetwork],
) -> None:
    """The address is the first one of that half; none of what is taken lies there.

    A half that is nothing but the address of all zeros isn't free.
    """
    expected = set()
    for network in taken:
        for outer, half in around(network):
            used = any(half.version == n.version and half.overlaps(n) for n in taken)
            free = not used and int(half[-1]) > 0
            if free or not outer.prefixlen:
                first = half[0] if int(half[0]) else half[1]
                expected.add(f"{first}/{outer.prefixlen}")
                break
    assert expected == {str(i) for i in covering(taken, taken)}


@pytest.mark.parametrize("version", [4, 6])
def test_the_work_grows_with_the_peer_cidrs_and_not_with_their_square(version: int) -> None:
    """Without a default route four times as many cost at most five times as many calls."""
    local, every, length = {
        4: ("10.1.0.0/24", "10.64.0.0/12", 24),
        6: ("fd01::/64", "fd40::/48", 64),
    }[version]
    remotes = ipaddress.ip_network(every).subnets(new_prefix=length)
    selectors = [TrafficSelector(ipaddress.ip_network(local), next(remotes)) for _ in range(1000)]
    calls = []
    for count in (250, 1000):
        some = frozenset(selectors[:count])
        rows(some, Surroundings())  # what is remembered is there
        calls.append(calls_of(lambda s=some: rows(s, Surroundings())))
    assert calls[1] <= 5 * calls[0]
