"""What a policy of ours lets in while a peer moves, with SAs that were made by hand."""

from __future__ import annotations

import ipaddress
import re
import subprocess
from collections.abc import Iterator

import pytest

from swanherd.core import handover
from swanherd.core.model import RouterId
from swanherd.core.network import Direction, KernelPolicy, Welcome
from swanherd.dataplane import transforms
from swanherd.dataplane.namespace import name_of
from swanherd.dataplane.privileged import inside
from swanherd.testing import builders
from tests.kernel.wires import batch, run

ROUTER = RouterId(builders.make_id("welcoming"))
HERE, PEER = name_of(ROUTER), "welcomed"
PAIR = builders.selector("10.21.0.0/24", "10.22.0.0/24")
OLD, NEW = "192.0.2.1", "192.0.2.3"
REQID = 1 << 31 | 5
SPIS = {(OLD, REQID): 0x1001, (NEW, REQID): 0x1002, (OLD, 6): 0x1003}
KEYS = ("enc", "cbc(aes)", "0x" + "5a" * 16, "auth", "hmac(sha1)", "0x" + "a5" * 20)


@pytest.fixture
def peer() -> Iterator[None]:
    """Have the router and its peer, which has two addresses; the router's policy knows one."""
    run("ip", "netns", "add", HERE)
    run("ip", "netns", "add", PEER)
    try:
        batch(
            None,
            f"link add eth0 netns {HERE} type veth peer name eth0 netns {PEER}",
        )
        for name, addresses in (
            (HERE, ("192.0.2.2/24", "10.21.0.1/24")),
            (PEER, ("192.0.2.1/24", "192.0.2.3/24", "10.22.0.1/24", "10.23.0.1/24")),
        ):
            batch(
                name,
                "link set lo up",
                "link set eth0 up",
                *(f"address add {address} dev eth0" for address in addresses),
            )
        run("ip", "-n", PEER, "route", "add", "10.21.0.0/24", "dev", "eth0", "src", "10.22.0.1")
        for (source, reqid), spi in SPIS.items():
            sa = ("src", source, "dst", "192.0.2.2", "proto", "esp", "spi", str(spi))
            for name in (HERE, PEER):
                more = ("reqid", str(reqid), "mode", "tunnel", *KEYS)
                run("ip", "-n", name, "xfrm", "state", "add", *sa, *more)
        as_charon = str(handover.priority(PAIR, handover.FIRST))
        policy = ("src", str(PAIR.remote), "dst", str(PAIR.local), "dir", "in")
        template = ("tmpl", "src", NEW, "dst", "192.0.2.2", "proto", "esp")
        more = (*template, "reqid", str(REQID), "mode", "tunnel")
        run("ip", "-n", HERE, "xfrm", "policy", "add", *policy, "priority", as_charon, *more)
        yield
    finally:
        run("ip", "netns", "del", PEER)
        run("ip", "netns", "del", HERE)


def arrives(peer_address: str | None, reqid: int = REQID) -> bool:
    """Send a packet by the SA from that address, or in clear, and tell whether it is let in."""
    policy = ("src", str(PAIR.remote), "dst", str(PAIR.local), "dir", "out")
    if peer_address is not None:
        spi = str(SPIS[peer_address, reqid])
        template = ("tmpl", "src", peer_address, "dst", "192.0.2.2", "proto", "esp", "spi", spi)
        more = (*template, "reqid", str(reqid), "mode", "tunnel")
        run("ip", "-n", PEER, "xfrm", "policy", "add", *policy, *more)
    try:
        # Its answer is in clear: nothing is asked of what goes out here.
        command = ("ping", "-c1", "-W1", "-I", "10.22.0.1", "10.21.0.1")
        before = received()
        subprocess.run(("ip", "netns", "exec", PEER, *command), check=False, capture_output=True)
        return received() > before
    finally:
        if peer_address is not None:
            run("ip", "-n", PEER, "xfrm", "policy", "delete", *policy)


def received() -> int:
    """Return how many echo requests the router has got."""

    def read() -> int:
        with open("/proc/thread-self/net/snmp") as file:
            names, values = (line.split() for line in file if line.startswith("Icmp:"))
        return int(values[names.index("InEchos")])

    return inside.within(HERE, read)


@pytest.mark.usefixtures("peer")
def test_a_peer_is_heard_at_both_addresses_by_its_own_tunnel_alone() -> None:
    """charon's policy lets in what comes from one; ours from any, but nothing in clear."""
    assert [arrives(NEW), arrives(OLD), arrives(None)] == [True, False, False]
    welcome = Welcome(((50, REQID),), handover.ahead(PAIR))
    for direction in (Direction.IN, Direction.FORWARD):
        transforms.ensure_policy(ROUTER, KernelPolicy(PAIR, direction, welcome))
    assert [arrives(NEW), arrives(OLD), arrives(None)] == [True, True, False]
    assert not arrives(OLD, reqid=6)
    for direction in (Direction.IN, Direction.FORWARD):
        transforms.remove_policy(ROUTER, KernelPolicy(PAIR, direction, welcome))
    assert [arrives(NEW), arrives(OLD)] == [True, False]


@pytest.mark.usefixtures("peer")
def test_two_tunnels_of_one_pair_are_heard_and_no_third_one() -> None:
    """The old child and the new one; what comes in clear is the guard's to drop meanwhile."""
    for other in ((50, 6), (51, REQID)):
        welcome = Welcome(tuple(sorted(((50, REQID), other))), handover.ahead(PAIR))
        policies = [KernelPolicy(PAIR, d, welcome) for d in (Direction.IN, Direction.FORWARD)]
        for policy in policies:
            transforms.ensure_policy(ROUTER, policy)
        heard = [arrives(NEW), arrives(OLD), arrives(OLD, reqid=6), arrives(None)]
        assert heard == [True, True, other == (50, 6), True]
        for policy in policies:
            transforms.remove_policy(ROUTER, policy)
    assert not arrives(OLD, reqid=6)


@pytest.mark.usefixtures("peer")
def test_what_goes_out_goes_by_the_tunnel_that_is_named() -> None:
    """Before charon's own policy of the same packets, which names another tunnel."""
    run("ip", "-n", HERE, "route", "add", str(PAIR.remote), "dev", "eth0", "src", "10.21.0.1")
    ends = ("src", "192.0.2.2", "dst", NEW)
    for reqid in (REQID, 6):
        sa = (*ends, "proto", "esp", "spi", str(0x2000 + reqid % 16), "reqid", str(reqid))
        run("ip", "-n", HERE, "xfrm", "state", "add", *sa, "mode", "tunnel", *KEYS)
    policy = ("src", str(PAIR.local), "dst", str(PAIR.remote), "dir", "out")
    template = ("tmpl", *ends, "proto", "esp", "reqid", str(REQID), "mode", "tunnel")
    as_charon = str(handover.priority(PAIR, handover.FIRST))
    run("ip", "-n", HERE, "xfrm", "policy", "add", *policy, "priority", as_charon, *template)
    between = ipaddress.ip_address("192.0.2.2"), ipaddress.ip_address(NEW)
    way = KernelPolicy(PAIR, Direction.OUT, Welcome(((50, 6),), handover.ahead(PAIR), between))
    assert [sent(REQID), sent(6)] == [1, 0]
    transforms.ensure_policy(ROUTER, way)
    assert [sent(REQID), sent(6)] == [2, 2]
    transforms.remove_policy(ROUTER, way)
    assert [sent(REQID), sent(6)] == [3, 2]


def sent(reqid: int) -> int:
    """Send a packet, and return how many have gone by the tunnel of that number so far."""
    command = ("ping", "-c1", "-W0.1", "-I", "10.21.0.1", "10.22.0.1")
    subprocess.run(("ip", "netns", "exec", HERE, *command), check=False, capture_output=True)
    listed = ("ip", "-s", "-n", HERE, "xfrm", "state", "list", "reqid", str(reqid), "src")
    shown = subprocess.run((*listed, "192.0.2.2"), check=True, capture_output=True, text=True)
    return int(re.search(r"lifetime current:\s+\d+\(bytes\), (\d+)\(packets\)", shown.stdout)[1])
