"""What a policy of ours lets in while a peer moves, with SAs that were made by hand."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from swanherd.core import handover
from swanherd.core.model import RouterId
from swanherd.core.network import Direction, KernelPolicy, Welcome
from swanherd.dataplane import network
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
    welcome = Welcome(50, REQID, handover.ahead(PAIR))
    for direction in (Direction.IN, Direction.FORWARD):
        network.ensure_kernel_policy(ROUTER, KernelPolicy(PAIR, direction, welcome))
    assert [arrives(NEW), arrives(OLD), arrives(None)] == [True, True, False]
    assert not arrives(OLD, reqid=6)
    for direction in (Direction.IN, Direction.FORWARD):
        network.remove_kernel_policy(ROUTER, KernelPolicy(PAIR, direction, welcome))
    assert [arrives(NEW), arrives(OLD)] == [True, False]
