"""Two sites behind routers as Neutron's L3 agent makes them, joined by a bridge: the internet."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import router_rules as rules
from swanherd.agent.homes import HomeNode, HomeSource
from swanherd.core.home import inside_device, key_of, public_device
from swanherd.core.model import (
    Attachment,
    DataPlane,
    DesiredRouter,
    Detour,
    Home,
    HomeNamespace,
    PortId,
    RouterId,
    RouterReport,
    ScopeMark,
    Status,
)
from swanherd.core.tunnels import Timing
from swanherd.dataplane import daemons, homes, namespace
from swanherd.dataplane.home_guards import RouterFirewall
from swanherd.dataplane.privileged import inside
from swanherd.reconcile.loop import Outcome, World, reconcile
from swanherd.swan.adapter import StrongSwan
from swanherd.swan.charon import CharonLife, Surroundings
from swanherd.testing import builders as make
from tests.functional.swan.stage import BRISK, Looks

every_firewall = pytest.mark.parametrize("router_firewall", ["nft", "iptables"], indirect=True)

INTERNET = "internet"
GATEWAYS = ("203.0.113.1", "2001:db8:e::1")


def run(*argv: str, stdin: str | None = None, check: bool = True) -> str:
    done = subprocess.run(
        argv, input=stdin, capture_output=True, text=True, timeout=30, check=False
    )
    if check and done.returncode:
        raise AssertionError(f"{argv}: {done.stderr or done.stdout}")
    return done.stdout


def within(name: str, *argv: str, check: bool = True) -> str:
    return run("ip", "netns", "exec", name, *argv, check=check)


@dataclasses.dataclass(frozen=True)
class Plan:
    """The numbers of a site: west is 1, east is 2."""

    name: str
    number: int

    @property
    def router_id(self) -> RouterId:
        return RouterId(make.make_id(f"router {self.name}"))

    @property
    def public(self) -> tuple[str, str]:
        return f"203.0.113.{10 + self.number}", f"2001:db8:e::{10 + self.number}"

    @property
    def networks(self) -> tuple[str, str]:
        return f"10.{self.number}.0.0/24", f"fd00:{self.number}::/64"

    def inner(self, host: int) -> tuple[str, str]:
        return f"10.{self.number}.0.{host}", f"fd00:{self.number}::{host}"

    @property
    def gateway_port(self) -> PortId:
        return PortId(make.make_id(f"gateway port {self.name}"))

    @property
    def inside_port(self) -> PortId:
        return PortId(make.make_id(f"inside port {self.name}"))

    @property
    def qg(self) -> str:
        return public_device(self.gateway_port)

    @property
    def qr(self) -> str:
        return inside_device(self.inside_port)


WEST, EAST = Plan("west", 1), Plan("east", 2)


class OneRouter:
    """What the server would say of a router."""

    def __init__(self) -> None:
        self.desired: DesiredRouter | None = None
        self.current = True
        self.asked = 0

    def get_router(self, router_id: RouterId) -> DesiredRouter | None:
        self.asked += 1
        return self.desired

    def is_current(self, router_id: RouterId) -> bool:
        return self.current

    def recall(self, router_id: RouterId) -> DesiredRouter | None:
        return self.desired

    def get_revisions(self) -> dict[RouterId, int]:
        return {self.desired.id: self.desired.revision} if self.desired else {}


class Site:
    """One router with its workload, and the part of the agent that turns for it."""

    def __init__(self, plan: Plan, stand: Stand, central: HomeNamespace) -> None:
        self.plan, self.central, self.firewall = plan, central, stand.firewall
        self.looks = Looks()
        self.source = OneRouter()
        self.marks: tuple[ScopeMark, ...] = ()
        surroundings = Surroundings(
            stand.state / plan.name,
            homes.spawn,
            namespace.namespace_inode,
            daemons,
            time.monotonic,
        )
        self.lost = CharonLife(surroundings, BRISK).nameless
        self.node = HomeNode(self.firewall, self.lost)
        self.swan = StrongSwan(surroundings, self.looks, BRISK)
        self.questions: list[RouterId] = []
        self.ahead = 0.0  # seconds by which the clock of the roles is in the future
        self.homes = HomeSource(
            self.source,
            lambda _: self.marks,
            lambda: time.monotonic() + self.ahead,
            ask=self.questions.append,
            lost=self.lost,
        )
        self.world = World(self.homes, self.node, self.swan, stand.plane)

    @property
    def key(self) -> RouterId:
        """The namespace of the tunnel."""
        return key_of(self.plan.router_id, self.central)

    @property
    def steering(self) -> RouterId:
        """The namespace that only steers, of a distributed router."""
        return key_of(self.plan.router_id, HomeNamespace.ROUTER)

    @property
    def workload(self) -> str:
        return f"vm-{self.plan.name}"

    def turn(self, key: RouterId | None = None) -> Outcome:
        return reconcile(key or self.key, self.world, Timing(time.monotonic()))

    def settle(self, key: RouterId | None = None) -> None:
        """Turn until there is nothing to do."""
        for _ in range(10):
            outcome = self.turn(key)
            assert outcome.failed is None, outcome.failed
            if not outcome.actions:
                return
        raise AssertionError("the plan doesn't rest")

    def until(self, status: Status) -> RouterReport:
        """Turn at each event until every connection has that status."""
        seen: list[RouterReport] = []

        def reached() -> bool:
            outcome = self.turn()
            assert outcome.report is not None, outcome.failed
            seen.append(outcome.report)
            return all(row.status is status for row in outcome.report.connections)

        try:
            self.looks.until(reached)
        except AssertionError:
            raise AssertionError(f"last report: {seen[-1]}") from None
        return seen[-1]

    def arrived(self, source: str, send: Callable[[], object]) -> int:
        """Return how many packets from an address come to the workload meanwhile."""
        rule = ("INPUT", "-s", source)
        within(self.workload, "iptables", "-I", *rule)
        send()
        listed = within(self.workload, "iptables", "-nvxL", "INPUT", "1")
        within(self.workload, "iptables", "-D", *rule)
        return int(listed.split()[0])

    def ping(self, address: str, *arguments: str, count: int = 1) -> bool:
        """Tell whether an answer comes; a busy machine may take seconds."""
        return self._ping(address, "-c", str(count), "-i", "0.2", "-W", "5", *arguments)

    def gets_no_answer(self, address: str, *arguments: str) -> bool:
        """Tell whether none comes within a second."""
        return not self._ping(address, "-c", "1", "-W", "1", *arguments)

    def _ping(self, address: str, *arguments: str) -> bool:
        done = subprocess.run(
            ("ip", "netns", "exec", self.workload, "ping", "-n", *arguments, address),
            capture_output=True,
            timeout=30,
            check=False,
        )
        return done.returncode == 0


class Capture:
    """Notes the packets at the internet's end of the sites' wires, or in another namespace."""

    def __init__(self, namespace: str = INTERNET) -> None:
        self.packets: list[bytes] = []
        self._done = threading.Event()
        self._sock = inside.within(namespace, self._open)
        self._thread = threading.Thread(target=self._read, daemon=True)

    @staticmethod
    def _open() -> socket.socket:
        # All devices: what is bridged from one to another never comes to the bridge's own.
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        sock.settimeout(0.1)
        return sock

    def __enter__(self) -> Capture:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._sock.close()

    def _read(self) -> None:
        while not self._done.is_set():
            try:
                self.packets.append(self._sock.recv(65536))
            except TimeoutError:
                continue
        # On a busy machine this thread comes late: what passed before the end waits at the socket.
        self._sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.packets.append(self._sock.recv(65536))

    def sources(self, protocol: int) -> set[str]:
        """Return where IP packets of a protocol came from."""
        return {source for source, _, number in map(_ends, self.packets) if number == protocol}

    def fragments(self) -> list[bytes]:
        """Return the pieces of packets (RFC 791 §3.1, RFC 8200 §4.5)."""
        pieces = {4: lambda p: p[6] & 0x3F or p[7], 6: lambda p: p[6] == 44}
        return [p for p in self.packets if p and pieces.get(p[0] >> 4, lambda _: False)(p)]

    def between(self, one: str, other: str) -> list[bytes]:
        """Return the packets in clear between two networks, either way."""
        a, b = ipaddress.ip_network(one), ipaddress.ip_network(other)

        def concerns(packet: bytes) -> bool:
            source, destination, _ = _ends(packet)
            if not source:
                return False
            ends = ipaddress.ip_address(source), ipaddress.ip_address(destination)
            return (ends[0] in a and ends[1] in b) or (ends[0] in b and ends[1] in a)

        return [p for p in self.packets if concerns(p)]


def _ends(packet: bytes) -> tuple[str, str, int]:
    if packet and packet[0] >> 4 == 4:
        ends = packet[12:16], packet[16:20]
        return str(ipaddress.ip_address(ends[0])), str(ipaddress.ip_address(ends[1])), packet[9]
    if packet and packet[0] >> 4 == 6:
        ends = packet[8:24], packet[24:40]
        return str(ipaddress.ip_address(ends[0])), str(ipaddress.ip_address(ends[1])), packet[6]
    return "", "", 0


class Stand:
    """Makes it all, and takes it down."""

    def __init__(
        self, state: Path, firewall: RouterFirewall, plane: DataPlane = DataPlane.USERSPACE
    ) -> None:
        self.state, self.firewall, self.plane = state, firewall, plane
        self.sites: list[Site] = []
        self._internet()

    def close(self) -> None:
        for site in self.sites:
            site.swan.close()

    def site(self, plan: Plan, make_router: Callable[[Plan], HomeNamespace]) -> Site:
        made = Site(plan, self, make_router(plan))
        self.sites.append(made)
        return made

    @staticmethod
    def _internet() -> None:
        namespace_of(INTERNET)
        run("ip", "-n", INTERNET, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", INTERNET, "link", "set", "br0", "up")
        address(INTERNET, "br0", "203.0.113.1/24", "2001:db8:e::1/64", "198.51.100.7/24")


def namespace_of(name: str) -> None:
    run("ip", "netns", "add", name)
    run("ip", "-n", name, "link", "set", "lo", "up")
    sysctl(name, "ipv6/conf/default/accept_dad=0", "ipv6/conf/all/accept_dad=0")


def sysctl(name: str, *settings: str) -> None:
    """Write settings of a namespace's network, in this process."""

    def write() -> None:
        for setting in settings:
            key, _, value = setting.partition("=")
            Path(f"/proc/sys/net/{key}").write_text(value)

    inside.within(name, write)


def address(name: str, device: str, *addresses: str) -> None:
    lines = (f"address add {a} dev {device}{' nodad' * (':' in a)}\n" for a in addresses)
    run("ip", "-n", name, "-batch", "-", stdin="".join(lines))


def wire(name: str, device: str, other: str, far: str) -> None:
    """Join two namespaces; both ends are up."""
    run("ip", "-n", name, "link", "add", device, "type", "veth", "peer", far, "netns", other)
    for where, end in ((name, device), (other, far)):
        run("ip", "-n", where, "link", "set", end, "up")
        within(where, "ethtool", "-K", end, "tx", "off")


def to_internet(plan: Plan, name: str) -> None:
    """Plug the gateway port, as the L3 agent does."""
    wire(name, plan.qg, INTERNET, f"to-{plan.name}")
    run("ip", "-n", INTERNET, "link", "set", f"to-{plan.name}", "master", "br0")
    address(name, plan.qg, f"{plan.public[0]}/24", f"{plan.public[1]}/64")
    run("ip", "-n", name, "route", "add", "default", "via", GATEWAYS[0])
    run("ip", "-n", name, "-6", "route", "add", "default", "via", GATEWAYS[1])


def workload(plan: Plan, router: str) -> None:
    """Plug the inside port and a workload behind it."""
    name = f"vm-{plan.name}"
    namespace_of(name)
    wire(router, plan.qr, name, "eth0")
    lengths = (24, 64)
    inner = [f"{a}/{n}" for a, n in zip(plan.inner(1), lengths, strict=True)]
    address(router, plan.qr, *inner)
    address(name, "eth0", *(f"{a}/{n}" for a, n in zip(plan.inner(5), lengths, strict=True)))
    run("ip", "-n", name, "route", "add", "default", "via", plan.inner(1)[0])
    run("ip", "-n", name, "-6", "route", "add", "default", "via", plan.inner(1)[1])


def forwards(name: str) -> None:
    sysctl(name, "ipv4/ip_forward=1", "ipv6/conf/all/forwarding=1")


def legacy(plan: Plan) -> HomeNamespace:
    """Make a legacy router with Neutron's own rules."""
    name = key_of(plan.router_id, HomeNamespace.ROUTER)
    namespace_of(name)
    forwards(name)
    to_internet(plan, name)
    workload(plan, name)
    rules.restore(name, rules.centralized(plan.qg, (plan.qr,), plan.public[0]))
    return HomeNamespace.ROUTER


@contextlib.contextmanager
def vrrp_daemon(key: RouterId, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have a process of keepalived's name in the namespace: all that is looked at of it."""
    program = directory / "keepalived"
    shutil.copy("/usr/bin/sleep", program)
    process = subprocess.Popen(("ip", "netns", "exec", key, program, "600"))
    try:
        deadline = time.monotonic() + 10
        while process.pid not in homes.processes(key, "keepalived"):
            assert time.monotonic() < deadline
        yield process
    finally:
        process.kill()
        process.wait()


def attachment(plan: Plan) -> Attachment:
    return Attachment(
        plan.gateway_port,
        "",
        (
            ipaddress.ip_interface(f"{plan.public[0]}/24"),
            ipaddress.ip_interface(f"{plan.public[1]}/64"),
        ),
        tuple(map(ipaddress.ip_address, GATEWAYS)),
        1500,
    )


def detours(plan: Plan) -> tuple[Detour, ...]:
    return tuple(
        Detour(ipaddress.ip_network(n), plan.inside_port, ipaddress.ip_address(central))
        for n, central in zip(plan.networks, plan.inner(9), strict=True)
    )


def desired(
    here: Plan, there: Plan, home: Home, families: str = "44", **changes: object
) -> DesiredRouter:
    """Return what the server says: inner and outer family as two digits."""
    inner, outer = (0 if digit == "4" else 1 for digit in families)
    fields: dict[str, object] = {
        "local_address": ipaddress.ip_address(here.public[outer]),
        "local_id": here.public[outer],
        "peer_address": there.public[outer],
        "peer_id": there.public[outer],
        "selectors": (make.selector(here.networks[inner], there.networks[inner]),),
        "mtu": 0,
    }
    connection = make.connection(f"{here.name} {families}", **(fields | changes))
    router = make.desired(connection, public=attachment(here), id=here.router_id)
    connected = tuple(map(ipaddress.ip_network, here.networks))
    return make.at_home(router, dataclasses.replace(home, connected=connected))


FLOATING = {
    "west": "203.0.113.101",
    "east": "203.0.113.102",
    "hand-west": "203.0.113.103",
    "hand-east": "203.0.113.104",
}


def distributed(plan: Plan) -> HomeNamespace:
    """Make a distributed router on one node: its part for workloads, its central part, and a fip.

    The workload has a floating IP, so its packets leave by the namespace of floating IPs.
    """
    router = key_of(plan.router_id, HomeNamespace.ROUTER)
    central = key_of(plan.router_id, HomeNamespace.CENTRAL)
    switch, fip = f"switch-{plan.name}", f"fip-{plan.name}"
    for name in (router, central, switch, fip):
        namespace_of(name)
        forwards(name)
    run("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
    run("ip", "-n", switch, "link", "set", "br0", "up")
    to_internet(plan, central)
    _floating_ips(plan, router, fip)
    name = f"vm-{plan.name}"
    namespace_of(name)
    lengths = (24, 64)
    for number, (where, device, host) in enumerate(
        ((router, plan.qr, 1), (central, f"sg-{plan.name}", 9), (name, "eth0", 5))
    ):
        wire(where, device, switch, f"port{number}")
        run("ip", "-n", switch, "link", "set", f"port{number}", "master", "br0")
        addresses = zip(plan.inner(host), lengths, strict=True)
        address(where, device, *(f"{a}/{n}" for a, n in addresses))
    for version, gateway, central_address in zip("46", plan.inner(1), plan.inner(9), strict=True):
        family = f"-{version}"
        run("ip", "-n", name, family, "route", "add", "default", "via", gateway)
        way = ("default", "via", central_address, "dev", plan.qr, "table", "777")
        run("ip", "-n", router, family, "route", "add", *way)
        source = plan.networks["46".index(version)]
        rule = ("from", source, "lookup", "777", "priority", "168034305")
        run("ip", "-n", router, family, "rule", "add", *rule)
    rules.restore(central, rules.centralized(plan.qg, (f"sg-{plan.name}",), plan.public[0]))
    floating = FLOATING[plan.name]
    rules.restore(
        router,
        rules.centralized("rfp-x", (plan.qr,), floating, [(floating, plan.inner(5)[0])]),
    )
    return HomeNamespace.CENTRAL


def _floating_ips(plan: Plan, router: str, fip: str) -> None:
    """Make the way of the workload's floating IP, as neutron's dvr_local_router does."""
    floating = FLOATING[plan.name]
    wire(router, "rfp-x", fip, "fpr-x")
    address(router, "rfp-x", "169.254.106.114/31")
    address(fip, "fpr-x", "169.254.106.115/31")
    run("ip", "-n", router, "address", "add", f"{floating}/32", "dev", "rfp-x")
    wire(fip, "fg-x", INTERNET, f"fg-{plan.name}")
    run("ip", "-n", INTERNET, "link", "set", f"fg-{plan.name}", "master", "br0")
    address(fip, "fg-x", f"203.0.113.{200 + plan.number}/24")
    within(fip, "sysctl", "-qw", "net.ipv4.conf.fg-x.proxy_arp=1")
    run("ip", "-n", fip, "route", "add", "default", "via", GATEWAYS[0])
    run("ip", "-n", fip, "route", "add", f"{floating}/32", "via", "169.254.106.114")
    rule = ("from", plan.inner(5)[0], "lookup", "16", "priority", "57481")
    run("ip", "-n", router, "rule", "add", *rule)
    run("ip", "-n", router, "route", "add", "default", "via", "169.254.106.115", "table", "16")
