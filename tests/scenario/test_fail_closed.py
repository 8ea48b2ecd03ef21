"""Nothing of a selector is in clear, out or in, and nothing else goes another way than before."""

import contextlib
import ipaddress
import json
import signal
import time

import pytest

from lab import wires
from lab.boxes import Box
from lab.boxes import end as end_process
from lab.capture import Capture
from lab.layout import INTERNET_BOX, ROOT, WEB_ADDRESSES
from lab.processes import wait_for
from lab.sites import add_subnet, boot
from lab.vpn import connect
from tests.scenario.closed import beside
from tests.scenario.test_self_healing import OVN, lost, stream

FILTER = "icmp or icmp6"
WITHIN = 1.0  # seconds from the API's answer
FIGURES = ROOT / "build" / "closed.jsonl"
WEB = WEB_ADDRESSES[0].split("/")[0]


@contextlib.contextmanager
def as_if_from(pair, sources, targets):
    """Let the internet send packets from these addresses to targets behind the router of a."""
    inet = Box(pair.one.cloud.lab, INTERNET_BOX)
    routers = {":" in a: a for a in pair.one.site.router_addresses}
    bits = {True: 128, False: 32}
    addresses = [f"{a}/{bits[':' in a]}" for a in sources]
    inet.ip(*(f"address add {a} dev lo" for a in addresses))
    for target in targets:
        six = ":" in target
        wires.add_internet_route(pair.one.cloud.lab, f"{target}/{bits[six]}", routers[six])
    try:
        yield inet
    finally:
        inet.ip(
            *(f"address del {a} dev lo" for a in addresses),
            *(f"route del {t}/{bits[':' in t]}" for t in targets),
        )


def test_what_comes_in_clear_from_a_peer_cidr_is_dropped(pair):
    """Neither family's reaches the workload from outside; what is of no selector does as ever."""
    peers, targets = pair.there.addresses, pair.here.addresses
    sources = (*peers, *map(beside, peers))
    with (
        as_if_from(pair, sources, targets) as inet,
        Capture.start(pair.here.box, "eth0", FILTER, netns=pair.here.name) as seen,
    ):
        for source in sources:
            target = next(t for t in targets if (":" in t) == (":" in source))
            argv = ["ping", "-n", "-q", "-c", "3", "-i", "0.2", "-W", "0.5"]
            inet.run([*argv, "-I", source, target], check=False)
        for address in peers:
            assert seen.lines(f"src host {address}") == []
            assert seen.count(f"src host {beside(address)}")


@pytest.mark.skipif(not OVN, reason="there is no OVN to remove it from")
@pytest.mark.parametrize(
    "removal",
    [("lr-policy-del",), ("lr-route-del", "{four}"), ("lr-route-del", "{six}")],
    ids=["policies", "IPv4 route", "IPv6 route"],
)
def test_no_single_removal_from_ovn_lets_a_packet_out(pair, lab, removal):
    """Policies and routes hold the traffic each alone: nothing in clear, and next to no loss."""
    cloud, router = pair.one.cloud, f"neutron-{pair.one.site.router_id}"
    four, six = sorted(pair.other.site.subnets, key=lambda c: ":" in c)
    inner = " or ".join(f"host {a}" for w in (pair.here, pair.there) for a in w.addresses)
    verb, *rest = (part.format(four=four, six=six) for part in removal)

    def rows():
        return cloud.nbctl("lr-policy-list", router) + cloud.nbctl("lr-route-list", router)

    before = rows()
    with Capture.on_wire(lab, cloud.plan, inner) as wire:
        streams = [stream(pair), stream(pair, six=True)]
        for _ in range(3):
            cloud.nbctl(verb, router, *rest)
            wait_for(lambda: rows() == before, 30, "the rows are back", every=0.05)
        assert [n for n in map(lost, streams) if n > 3] == []
        assert wire.lines() == []


def test_another_subnet_still_reaches_the_peers_cidr_its_own_way(pair, lab):
    """A packet of no selector to a peer CIDR goes out by the router, as it would without a VPN."""
    client, cloud = pair.one.client, pair.one.cloud
    number = pair.one.site.name.removeprefix("s").partition("-")[0]
    cidr = f"10.{number}.9.0/24"
    add_subnet(client, pair.one.site, cidr)
    other = boot(cloud, client, pair.one.site, f"o{number}", subnets=[cidr])
    # Each node that has a part of a distributed router makes the new subnet's in its own time.
    other.wait_for_ping(WEB, 60)
    with Capture.on_wire(lab, cloud.plan, FILTER) as wire:
        assert not other.pings(pair.there.ipv4, count=3, wait=0.3)
        assert wire.count(f"dst host {pair.there.ipv4}") == 3


def open_after(end, workload, remote):
    """Make a connection to a network; for how long packets to it went on in clear after that.

    In seconds from the API's answer to the last one on the wire, of 100 a second.
    """
    target = str(ipaddress.ip_network(remote)[5])
    (local,) = end.site.subnets
    with Capture.on_wire(end.cloud.lab, end.cloud.plan, f"icmp and dst host {target}") as wire:
        pings = workload.box.popen(["ping", "-q", "-i", "0.01", target], netns=workload.name)
        try:
            wait_for(lambda: wire.count() > 50, 20, f"{target} is sent to in clear", every=0.1)
            connect(end, "203.0.113.9", [local], [remote])
            answered = time.time()
            wait_for(lambda: time.time() > answered + 3 * WITHIN, 10, "time")
        finally:
            end_process(pings, signal.SIGKILL)
            pings.communicate()
        last = wire.times()[-1] - answered
    with FIGURES.open("a") as file:
        backend = end.cloud.plan.backend + end.site.kind
        file.write(json.dumps({"backend": backend, "open_s": round(last, 3)}) + "\n")
    return last


def test_a_pair_is_closed_within_a_second_of_the_apis_answer(make_pair):
    """The router's first connection and another one, on either cloud."""
    pair = make_pair(inner=(4,))
    number = pair.one.site.name.removeprefix("s").partition("-")[0]
    for end, workload in ((pair.one, pair.here), (pair.other, pair.there)):
        assert open_after(end, workload, f"10.{number}.70.0/24") < WITHIN
        assert open_after(end, workload, f"10.{number}.71.0/24") < WITHIN
