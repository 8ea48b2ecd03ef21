"""What the guard lets pass and what not, seen on the wires by packets for real.

The kernel plane's rules are loaded here and seen to block; that they let decrypted packets pass
needs a kernel with ESP.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from swanherd.agent.node import OvnNode
from swanherd.core import network as net
from swanherd.core.layout import lock
from swanherd.core.model import TrafficSelector
from swanherd.core.network import TRANSIT_DEVICE, GuardPair
from swanherd.dataplane.guards import Firewall
from swanherd.testing.node_contract import (
    GUARD,
    ROUTER,
    RULES,
    apply_all,
    early_actions,
    late_actions,
)
from tests.functional.dataplane.packets import checksum, echo, mss_of, syn, udp
from tests.functional.dataplane.packets import ip as ip_packet
from tests.functional.dataplane.stand import (
    MemoryBridge,
    Wire,
    at_protocol,
    at_udp_port,
    ip,
    know_neighbours,
    open_up,
    tunnel_wire,
    wires,
)

# local, remote, another local, another remote
FOUR = ("10.1.0.5", "10.9.0.5", "10.2.0.5", "10.8.0.5")
SIX = ("fd01::5", "fd09::5", "fd02::5", "fd08::5")
families = pytest.mark.parametrize("ends", [FOUR, SIX], ids=["v4", "v6"])
PUBLIC_NEIGHBOUR = {4: "203.0.113.1", 6: "2001:db8:f::1"}
PUBLIC_ADDRESS = {4: "203.0.113.20", 6: "2001:db8:f::20"}
TRANSIT_NEIGHBOUR = {4: "169.254.0.1", 6: "fd99::1"}
TRANSIT_ADDRESS = {4: "169.254.0.2", 6: "fd99::2"}
SECRET = b"an inner packet"


@pytest.fixture
def node(firewall: Firewall) -> OvnNode:
    node = OvnNode(MemoryBridge(), firewall)
    apply_all(node, ROUTER, early_actions())
    know_neighbours()
    # Ways back for sources that the guard has to drop, lest something else drop them.
    for network in ("10.2.0.0/24", "fd02::/64"):
        gateway = TRANSIT_NEIGHBOUR[ipaddress.ip_network(network).version]
        ip(ROUTER, "route", "add", network, "via", gateway, "dev", TRANSIT_DEVICE)
    return node


@pytest.fixture
def ends_of_links(node: OvnNode) -> Iterator[tuple[Wire, Wire]]:
    both = wires()
    yield both
    for wire in both:
        wire.close()


@pytest.fixture
def transit(ends_of_links: tuple[Wire, Wire]) -> Wire:
    return ends_of_links[0]


@pytest.fixture
def public(ends_of_links: tuple[Wire, Wire]) -> Wire:
    return ends_of_links[1]


@pytest.fixture
def tunnel(node: OvnNode) -> Iterator[Wire]:
    """The tunnel device as charon has it, and the routes through it."""
    wire = tunnel_wire()
    apply_all(node, ROUTER, late_actions())
    yield wire
    wire.close()


def version(address: str) -> int:
    return ipaddress.ip_address(address).version


_markers = itertools.count()


def emerged_at_public(public: Wire, family: int) -> list[bytes]:
    """Return what has come out by the public device before IKE's packet, which may."""
    marker = f"marker {next(_markers)}".encode()
    peer = PUBLIC_NEIGHBOUR[family]
    at_udp_port(PUBLIC_ADDRESS[family], 500, lambda s: s.sendto(marker, (peer, 500)))
    return public.take_until(marker)


def emerged_at_transit(transit: Wire, family: int) -> list[bytes]:
    """Return what has come out by the transit before the answer to a ping, which may."""
    marker = f"marker {next(_markers)}".encode()
    transit.put(echo(TRANSIT_NEIGHBOUR[family], TRANSIT_ADDRESS[family], marker))
    return transit.take_until(marker)


def leaks(packets: list[bytes]) -> list[bytes]:
    return [packet for packet in packets if SECRET in packet]


@families
def test_nothing_leaves_in_clear_before_the_tunnel(firewall, node, transit, public, ends):
    """A packet of a pair doesn't leave by the default route; without the guard it would."""
    local, remote, *_ = ends
    packet = udp(local, remote, SECRET)
    transit.put(packet)
    assert leaks(emerged_at_public(public, version(local))) == []
    open_up(firewall, ROUTER)
    transit.put(packet)
    assert leaks(emerged_at_public(public, version(local)))


@families
def test_nothing_comes_in_in_clear(firewall, node, transit, public, ends):
    """A clear packet that claims to come from the peer's network doesn't reach a workload."""
    local, remote, *_ = ends
    packet = udp(remote, local, SECRET)
    public.put(packet)
    assert leaks(emerged_at_transit(transit, version(local))) == []
    open_up(firewall, ROUTER)
    public.put(packet)
    transit.take(SECRET)


@families
def test_without_the_guard_nothing_comes_in_in_clear(
    firewall, node, transit, public, tunnel, ends
):
    """Whoever it claims to come from, for whomever; IKE is heard and the tunnel carries."""
    local, remote, *_ = ends
    family = version(local)
    node.apply(ROUTER, net.EnsureRule(lock(family)))
    open_up(firewall, ROUTER)
    for source, destination in ((remote, local), (local, remote), (ends[3], local)):
        public.put(udp(source, destination, SECRET))
    assert leaks(emerged_at_transit(transit, family)) == []
    transit.put(udp(local, remote, b"there"))
    assert leaks(tunnel.take_until(b"there")) == []
    tunnel.put(udp(remote, local, b"back"))
    assert leaks(transit.take_until(b"back")) == []

    def heard(sock) -> None:
        public.put(udp(PUBLIC_NEIGHBOUR[family], PUBLIC_ADDRESS[family], b"to IKE", port=500))
        assert sock.recv(100) == b"to IKE"

    at_udp_port(PUBLIC_ADDRESS[family], 500, heard)


@pytest.mark.parametrize("action", [net.EnsureNamespace(), net.EnsureGuard(GUARD)])
@families
def test_a_guard_without_pairs_lets_nothing_through(firewall, transit, public, node, ends, action):
    """From the namespace's first moment, whatever guard it has, no traffic crosses in clear."""
    local, remote, *_ = ends
    open_up(firewall, ROUTER)
    node.apply(ROUTER, action)
    closed = dataclasses.replace(GUARD, pairs=frozenset())
    transit.put(udp(local, remote, SECRET))
    public.put(udp(remote, local, SECRET))
    node.apply(ROUTER, net.EnsureGuard(closed))
    transit.put(udp(local, remote, SECRET))
    public.put(udp(remote, local, SECRET))
    assert leaks(emerged_at_public(public, version(local))) == []
    assert leaks(emerged_at_transit(transit, version(local))) == []


@families
def test_the_kernel_plane_blocks_without_esp(node, transit, public, ends):
    """With no tunnel device a packet of a pair needs an IPsec transformation, in and out."""
    local, remote, *_ = ends
    node.apply(ROUTER, net.EnsureGuard(dataclasses.replace(GUARD, tunnel=None)))
    transit.put(udp(local, remote, SECRET))
    public.put(udp(remote, local, SECRET))
    assert leaks(emerged_at_public(public, version(local))) == []
    assert leaks(emerged_at_transit(transit, version(local))) == []


@families
def test_exactly_the_pair_crosses(transit, public, tunnel, ends):
    """Through the tunnel pass packets of the pair, there and back, and no others."""
    local, remote, other_local, other_remote = ends
    # Let all of them have a way into the tunnel, so that only the guard tells them apart.
    family = f"-{version(local)}"
    ip(ROUTER, family, "rule", "add", "iif", TRANSIT_DEVICE, "lookup", "30000", "pref", "300")
    ip(ROUTER, family, "route", "add", "default", "dev", "ipsec0", "table", "30000")
    for source, destination in ((other_local, remote), (local, other_remote), (remote, local)):
        transit.put(udp(source, destination, SECRET))
    transit.put(udp(local, remote, b"of the pair"))
    assert leaks(tunnel.take_until(b"of the pair")) == []
    for source, destination in ((other_remote, local), (remote, other_local), (local, remote)):
        tunnel.put(udp(source, destination, SECRET))
    tunnel.put(udp(remote, local, b"back again"))
    assert leaks(transit.take_until(b"back again")) == []
    assert leaks(emerged_at_public(public, version(local))) == []


@families
def test_the_pair_from_elsewhere_does_not_cross(public, transit, tunnel, ends):
    """Neither does the public network get into the tunnel nor the tunnel out to it."""
    local, remote, *_ = ends
    public.put(udp(local, remote, SECRET))
    transit.put(udp(local, remote, b"marker"))
    assert leaks(tunnel.take_until(b"marker")) == []
    tunnel.put(udp(local, PUBLIC_NEIGHBOUR[version(local)], SECRET))
    tunnel.put(udp(remote, PUBLIC_NEIGHBOUR[version(local)], SECRET))
    assert leaks(emerged_at_public(public, version(local))) == []


@families
def test_the_other_family_is_not_meant(node, transit, tunnel, ends):
    """A guard of one family's pairs lets nothing of the other family cross."""
    local, remote, *_ = ends
    pairs = {p for p in GUARD.pairs if p.selector.local.version != version(local)}
    node.apply(ROUTER, net.EnsureGuard(dataclasses.replace(GUARD, pairs=frozenset(pairs))))
    transit.put(udp(local, remote, SECRET))
    other_ends = SIX if ends is FOUR else FOUR
    transit.put(udp(other_ends[0], other_ends[1], b"marker"))
    assert leaks(tunnel.take_until(b"marker")) == []


@families
def test_a_syn_is_clamped_both_ways(transit, tunnel, ends):
    """The MSS of a SYN is at most the pair's, in both directions, and never raised."""
    local, remote, *_ = ends
    for offered, expected in ((1460, 1300), (1000, 1000)):
        transit.put(syn(local, remote, offered, b"there"))
        assert expected == mss_of(tunnel.take(b"there"))
        tunnel.put(syn(remote, local, offered, b"back"))
        assert expected == mss_of(transit.take(b"back"))


@families
def test_too_big_is_told(transit, tunnel, ends):
    """A packet beyond the connection's MTU is answered with that MTU, not dropped in silence."""
    local, remote, *_ = ends
    transit.put(udp(local, remote, SECRET * 91))
    answer = transit.take(SECRET)
    header = 20 if version(local) == 4 else 40
    # Fragmentation needed (RFC 1191 §4), packet too big (RFC 4443 §3.2)
    kind = {20: b"\x03\x04", 40: b"\x02\x00"}[header]
    assert answer[header : header + 2] == kind
    assert int.from_bytes(answer[header + 4 : header + 8]) == 1360


@families
def test_the_routers_own_address_answers_in_the_tunnel_only(transit, public, tunnel, ends):
    """The host address on lo is reached decrypted, and in clear by nobody."""
    remote = ends[1]
    own = "10.1.0.1" if version(remote) == 4 else "fd01::1"
    tunnel.put(echo(remote, own, b"decrypted"))
    tunnel.take(b"decrypted")
    public.put(echo(remote, own, SECRET))
    public.put(echo(PUBLIC_NEIGHBOUR[version(remote)], own, SECRET))
    tunnel.put(echo(remote, own, b"marker"))
    assert leaks(tunnel.take_until(b"marker")) == []
    assert leaks(emerged_at_public(public, version(remote))) == []


@families
def test_the_routers_own_packets_do_not_leave_in_clear(node, public, tunnel, ends):
    """With the tunnel's routes gone the host address sends nothing by the public device."""
    remote = ends[1]
    own = "10.1.0.1" if version(remote) == 4 else "fd01::1"
    apply_all(node, ROUTER, map(net.RemoveRule, RULES))

    def send(sock) -> None:
        with pytest.raises(PermissionError):
            sock.sendto(SECRET, (remote, 500))

    at_udp_port(own, 500, send)
    assert leaks(emerged_at_public(public, version(remote))) == []


@families
def test_no_icmp_error_carries_an_inner_packet_out(public, tunnel, ends):
    """What the namespace has to say of a decrypted packet isn't said in clear."""
    local, remote, *_ = ends
    tunnel.put(udp(remote, local, SECRET, ttl=1))
    assert leaks(emerged_at_public(public, version(local))) == []


@pytest.mark.parametrize("family", [4, 6])
def test_the_public_device_speaks_ike_and_ping_only(public, tunnel, family):
    """From outside IKE and a ping are answered, and nothing else is."""
    here, there = PUBLIC_ADDRESS[family], PUBLIC_NEIGHBOUR[family]

    def receive(sock) -> None:
        public.put(udp(there, here, b"to a port", port=53))
        public.put(udp(there, here, b"to IKE", port=500))
        assert sock.recv(100) == b"to IKE"

    at_udp_port(here, 500, receive)
    public.put(echo(there, here, b"a ping"))
    # An error for port 53 would have come before.
    assert not [p for p in public.take_until(b"a ping") if b"to a port" in p]


@pytest.mark.parametrize("plane", [{}, {"tunnel": None}])
def test_a_silent_guard_hears_and_says_nothing(node, transit, tunnel, public, plane):
    """Of a standby neither IKE nor a pair's packet goes out or in; opened, it speaks at once."""
    here, there = PUBLIC_ADDRESS[4], PUBLIC_NEIGHBOUR[4]
    node.apply(ROUTER, net.EnsureGuard(dataclasses.replace(GUARD, silent=True, **plane)))

    def talk(sock) -> None:
        with pytest.raises(PermissionError):
            sock.sendto(b"of a standby", (there, 500))
        public.put(udp(there, here, b"to a standby", port=500))
        transit.put(udp("10.1.0.5", "10.9.0.5", b"of a standby"))
        tunnel.put(udp("10.9.0.5", "10.1.0.5", b"of a standby"))
        node.apply(ROUTER, net.EnsureGuard(GUARD))
        sock.sendto(b"of an active one", (there, 500))
        assert not [p for p in public.take_until(b"of an active one") if b"standby" in p]
        public.put(udp(there, here, b"to an active one", port=500))
        assert sock.recv(100) == b"to an active one"

    at_udp_port(here, 500, talk)
    assert not [p for p in emerged_at_transit(transit, 4) if b"standby" in p]


@pytest.mark.parametrize("protocol", [50, 51], ids=["esp", "ah"])
@pytest.mark.parametrize("family", [4, 6])
def test_the_public_device_speaks_esp_and_ah(public, family, protocol):
    """Both protocols of IPsec get in and out by the public address, in either family."""
    here, there = PUBLIC_ADDRESS[family], PUBLIC_NEIGHBOUR[family]
    # SPI and sequence number; of AH first the next header and a length of 4 + 2 words.
    body = {50: b"", 51: bytes([17, 4, 0, 0])}[protocol] + bytes(8) + b"integrity check and so on"

    def receive_and_send(sock) -> None:
        public.put(ip_packet(there, here, protocol, body))
        assert body in sock.recv(200)
        sock.sendto(body, (there, 0))
        public.take(body)

    at_protocol(here, protocol, receive_and_send)


def test_neighbours_find_the_addresses(public, transit):
    """ARP and neighbour discovery work in spite of the guard."""
    solicitation = _solicitation("2001:db8:f::1", "2001:db8:f::20")
    public.put(solicitation)
    target = ipaddress.ip_address("2001:db8:f::20").packed
    asker = ipaddress.ip_address("2001:db8:f::1").packed
    # A neighbour advertisement (RFC 4861 §4.4), to whom asked for it
    assert public.take(target + asker)[40] == 136


def _solicitation(source: str, target: str) -> bytes:
    packed = ipaddress.ip_address(target).packed
    packet = echo(source, target, b"")
    body = b"\x87\x00\x00\x00" + bytes(4) + packed + b"\x01\x01" + bytes.fromhex("020000000099")
    return _icmp6(packet[8:24], packed, body)


def _icmp6(source: bytes, destination: bytes, body: bytes) -> bytes:
    pseudo = source + destination + len(body).to_bytes(4) + (58).to_bytes(4)
    body = body[:2] + checksum(pseudo + body).to_bytes(2) + body[4:]
    header = b"\x60\x00\x00\x00" + len(body).to_bytes(2) + bytes([58, 255])
    return header + source + destination + body


def test_where_pairs_overlap_the_smaller_mss_holds(node, transit, tunnel):
    """Overlapping pairs are all let through, with the smallest clamp that any of them asks."""
    pairs = frozenset(
        GuardPair(TrafficSelector(ipaddress.ip_network(local), ipaddress.ip_network(remote)), mss)
        for local, remote, mss in (
            ("10.1.0.0/24", "10.9.0.0/24", 1300),
            ("10.1.0.0/16", "10.9.0.0/28", 1200),
            ("10.1.0.5/32", "0.0.0.0/0", 1250),
            ("10.1.0.0/25", "10.8.0.0/16", 1350),
        )
    )
    node.apply(ROUTER, net.EnsureGuard(dataclasses.replace(GUARD, pairs=pairs)))
    ip(ROUTER, "rule", "add", "iif", TRANSIT_DEVICE, "lookup", "30000", "pref", "300")
    ip(ROUTER, "route", "add", "default", "dev", "ipsec0", "table", "30000")
    for local, remote, expected in (
        ("10.1.0.5", "10.9.0.5", 1200),
        ("10.1.0.6", "10.9.0.5", 1200),
        ("10.1.0.6", "10.9.0.50", 1300),
        ("10.1.0.5", "10.9.0.50", 1250),
        ("10.1.0.6", "10.8.0.5", 1350),
        ("10.1.0.5", "10.8.0.5", 1250),
    ):
        transit.put(syn(local, remote, 1460, b"there"))
        assert expected == mss_of(tunnel.take(b"there"))


def test_a_change_does_not_disturb_pairs_that_stay(node, transit, tunnel):
    """While pairs come and go, every packet of the one that stays crosses."""
    others = [
        GuardPair(TrafficSelector(ipaddress.ip_network(f"10.77.{n}.0/24"), remote), 1000 + n)
        for n in range(30)
        for remote in [ipaddress.ip_network("10.9.0.0/24")]
    ]
    sent = 0
    for n in (3, 30, 0, 10):
        changed = dataclasses.replace(GUARD, pairs=GUARD.pairs | set(others[:n]))
        sent += _sent_while(
            transit, lambda guard=changed: node.apply(ROUTER, net.EnsureGuard(guard))
        )
    transit.put(udp("10.1.0.5", "10.9.0.5", b"marker"))
    assert sent == len(leaks(tunnel.take_until(b"marker")))
    assert sent > 20


def _sent_while(transit: Wire, work) -> int:
    """Send packets of the pair for as long as the work lasts, and return how many."""
    thread = threading.Thread(target=work)
    thread.start()
    packet = udp("10.1.0.5", "10.9.0.5", SECRET)
    sent = 0
    while thread.is_alive():
        transit.put(packet)
        sent += 1
        thread.join(0.0005)
    return sent


def test_a_thousand_pairs_take_less_than_a_second(node):
    """Half of them IPv4, half IPv6; and two more take as little. It is time of the processor."""
    pairs = {
        GuardPair(TrafficSelector(ipaddress.ip_network(local), ipaddress.ip_network(remote)), 1300)
        for n in range(500)
        for local, remote in (
            (f"10.{n // 250}.{n % 250}.0/24", f"172.16.{n % 200}.0/24"),
            (f"fd00:{n:x}::/64", f"fd99:{n % 200:x}::/64"),
        )
    }
    for guard in (
        dataclasses.replace(GUARD, pairs=frozenset(pairs)),
        dataclasses.replace(GUARD, pairs=GUARD.pairs | pairs),
    ):
        before = time.process_time()
        node.apply(ROUTER, net.EnsureGuard(guard))
        assert time.process_time() - before < 1
        assert guard == node.observe(ROUTER).guard
