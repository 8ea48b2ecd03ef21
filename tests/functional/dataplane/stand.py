"""A node whose wires end in the test: a bridge in memory, hands that lose things, and packets."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import subprocess
from collections.abc import Callable

from swanherd.core.model import PortId, RouterId
from swanherd.core.network import PUBLIC_DEVICE, TRANSIT_DEVICE, TUNNEL_DEVICE, Route, Rule
from swanherd.dataplane import guards
from swanherd.dataplane.guards import Firewall
from swanherd.dataplane.namespace import name_of
from swanherd.dataplane.privileged import inside
from swanherd.ovn.vswitch import PluggedPort
from swanherd.testing.node_contract import PUBLIC, ROUTER, TRANSIT

OUTER_PREFIX = {TRANSIT_DEVICE: "vt", PUBLIC_DEVICE: "vp"}
NEIGHBOUR_MAC = "02:00:00:00:00:99"


class MemoryBridge:
    """Our ports, as the database would have them."""

    def __init__(self) -> None:
        self._ports: dict[str, PluggedPort] = {}
        self.evicted: list[str] = []

    def plug(self, port_name: str, port_id: PortId, mac: str, router_id: RouterId) -> None:
        self._ports[port_name] = PluggedPort(port_id, mac, router_id)

    def unplug(self, port_name: str) -> None:
        self._ports.pop(port_name, None)

    def evict(self, port_name: str, router_id: RouterId) -> None:
        self.evicted.append(port_name)

    def ports(self) -> dict[str, PluggedPort]:
        return dict(self._ports)


def ip(router_id: RouterId, *arguments: str) -> None:
    subprocess.run(["ip", "-n", name_of(router_id), *arguments], check=True)


def nft(router_id: RouterId, *arguments: str) -> str:
    command = ["ip", "netns", "exec", name_of(router_id), "nft", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def iptables(router_id: RouterId, *arguments: str, version: int = 4) -> None:
    program = {4: "iptables-legacy", 6: "ip6tables-legacy"}[version]
    command = ["ip", "netns", "exec", name_of(router_id), program, "-w", *arguments]
    subprocess.run(command, check=True)


def open_up(firewall: Firewall, router_id: RouterId) -> None:
    """Let everything pass, as without a guard."""
    if firewall.kind == "nft":
        nft(router_id, "delete", "table", "inet", "swanherd")
        return
    for version in (4, 6):
        iptables(router_id, "-F", version=version)
        iptables(router_id, "-X", version=version)


def outer_end(device: str) -> str:
    """Return the name of the device's end in this node's own namespace."""
    prefix = OUTER_PREFIX[device] + ROUTER.replace("-", "")[:11]
    (name,) = (name for _, name in socket.if_nameindex() if name.startswith(prefix))
    return name


class RealHands:
    """Loses things of a real namespace with the tools that an operator has."""

    def __init__(self, firewall: Firewall | None = None) -> None:
        self._firewall = firewall or guards.choose()

    def lose_namespace(self, router_id: RouterId) -> None:
        subprocess.run(["ip", "netns", "del", name_of(router_id)], check=True)

    def lose_guard(self, router_id: RouterId) -> None:
        if self._firewall.kind == "nft":
            nft(router_id, "flush", "chain", "inet", "swanherd", "forward")
        else:
            iptables(router_id, "-F", "swanherd-forward")

    def lose_link(self, router_id: RouterId, name: str) -> None:
        ip(router_id, "link", "del", name)

    def lose_route(self, router_id: RouterId, route: Route) -> None:
        table = str(route.table)
        ip(router_id, "route", "del", str(route.destination), "dev", route.device, "table", table)

    def lose_rule(self, router_id: RouterId, rule: Rule) -> None:
        family = f"-{rule.selector.local.version}"
        source, destination = str(rule.selector.local), str(rule.selector.remote)
        arguments = ("from", source, "to", destination, "lookup", str(rule.table))
        command = ["ip", "-n", name_of(router_id), family, "rule", "del", *arguments]
        subprocess.run(command, check=True)

    def lose_address(self, router_id: RouterId, name: str, address: str) -> None:
        version = 6 if ":" in address else 4
        lengths = {"lo": {4: 32, 6: 128}, PUBLIC_DEVICE: {4: 24, 6: 64}}
        ip(router_id, "addr", "del", f"{address}/{lengths[name][version]}", "dev", name)

    def make_tunnel(self, router_id: RouterId) -> None:
        """Make a persistent TUN device, unless it is there; nobody reads it."""
        command = ["ip", "-n", name_of(router_id), "link", "show", TUNNEL_DEVICE]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            ip(router_id, "tuntap", "add", "mode", "tun", "name", TUNNEL_DEVICE)
            ip(router_id, "link", "set", TUNNEL_DEVICE, "up", "mtu", "1400")

    def remove_tunnel(self, router_id: RouterId) -> None:
        ip(router_id, "link", "del", TUNNEL_DEVICE)


class Wire:
    """One end of a link: frames or packets go in and come out as bytes of IP."""

    def __init__(self, write: Callable[[bytes], object], fd: int, header: int) -> None:
        self._write = write
        self._fd = fd
        self._header = header

    def put(self, packet: bytes) -> None:
        """Send one IP packet into the namespace."""
        self._write(packet)

    def take_until(self, marker: bytes, seconds: float = 5) -> list[bytes]:
        """Return the IP packets that come out before the one that contains the marker."""
        seen: list[bytes] = []
        while select.select([self._fd], [], [], seconds)[0]:
            packet = os.read(self._fd, 65536)[self._header :]
            if marker in packet:
                return seen
            seen.append(packet)
        raise AssertionError(f"no {marker!r} in {seconds} s, but {seen}")

    def take(self, marker: bytes, seconds: float = 5) -> bytes:
        """Return the first IP packet that contains the marker."""
        while select.select([self._fd], [], [], seconds)[0]:
            packet = os.read(self._fd, 65536)[self._header :]
            if marker in packet:
                return packet
        raise AssertionError(f"no {marker!r} in {seconds} s")

    def close(self) -> None:
        os.close(self._fd)


def outer_wire(device: str, mac: str) -> Wire:
    """Return the bridge's side of a veth pair."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.bind((outer_end(device), 3))
    # Only what comes out of the namespace, not what we send: SOL_PACKET,
    # PACKET_IGNORE_OUTGOING (packet(7)).
    sock.setsockopt(263, 23, 1)
    fd = sock.detach()
    addresses = bytes.fromhex((mac + NEIGHBOUR_MAC).replace(":", ""))

    def write(packet: bytes) -> None:
        kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
        os.write(fd, addresses + struct.pack("!H", kind) + packet)

    return Wire(write, fd, 14)


def tunnel_wire() -> Wire:
    """Make the tunnel device in the router's namespace and return charon's side of it."""

    def opened() -> int:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        # TUNSETIFF with IFF_TUN | IFF_NO_PI (linux/if_tun.h)
        fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", TUNNEL_DEVICE.encode(), 0x1001))
        return fd

    fd = inside.within(name_of(ROUTER), opened)
    ip(ROUTER, "link", "set", TUNNEL_DEVICE, "up", "mtu", "1400")
    return Wire(lambda packet: os.write(fd, packet), fd, 0)


def know_neighbours() -> None:
    """Let the namespace know the gateways' MAC, so that no packet waits for an answer."""
    for device, addresses in (
        (PUBLIC_DEVICE, ("203.0.113.1", "2001:db8:e::1", "2001:db8:f::1")),
        (TRANSIT_DEVICE, ("169.254.0.1", "fd99::1")),
    ):
        for address in addresses:
            arguments = ("lladdr", NEIGHBOUR_MAC, "nud", "permanent", "dev", device)
            ip(ROUTER, "neigh", "replace", address, *arguments)


def wires() -> tuple[Wire, Wire]:
    """Return the bridge's sides of the transit and of the public link."""
    return outer_wire(TRANSIT_DEVICE, TRANSIT.mac), outer_wire(PUBLIC_DEVICE, PUBLIC.mac)


def at_udp_port(address: str, port: int, work: Callable[[socket.socket], object]) -> None:
    """Do something with a UDP socket that is bound inside the router's namespace."""
    _with_socket(socket.SOCK_DGRAM, 0, (address, port), work)


def at_protocol(address: str, protocol: int, work: Callable[[socket.socket], object]) -> None:
    """Do something with a raw socket of an IP protocol that is bound inside the namespace."""
    _with_socket(socket.SOCK_RAW, protocol, (address, 0), work)


def _with_socket(
    kind: int, protocol: int, at: tuple[str, int], work: Callable[[socket.socket], object]
) -> None:
    family = socket.AF_INET6 if ":" in at[0] else socket.AF_INET

    def bound() -> None:
        with socket.socket(family, kind, protocol) as sock:
            sock.bind(at)
            sock.settimeout(5)
            work(sock)

    inside.within(name_of(ROUTER), bound)
