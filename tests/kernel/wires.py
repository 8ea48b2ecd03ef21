"""The namespaces, wires and addresses around the routers, and hands on them."""

from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from swanherd.dataplane.privileged import inside
from tests.functional.dataplane.packets import echo

INTERNET = "inet"
SYSCTLS = (
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv6.conf.all.accept_dad=0",
    "net.ipv6.conf.default.accept_dad=0",
)


def wire_up() -> None:
    """Make the bridges, the networks behind both routers, and the internet."""
    for name in ("lan-w", "lan-e", INTERNET):
        run("ip", "netns", "add", name)
        run("ip", "netns", "exec", name, "sysctl", "-qw", *SYSCTLS)
    batch(
        None,
        *(
            command
            for side in "we"
            for bridge, device, name, inner in (
                (f"br-t{side}", f"l{side}", f"lan-{side}", "eth0"),
                (f"br-p{side}", f"i{side}", INTERNET, side),
            )
            for command in (
                f"link add {bridge} type bridge forward_delay 0 mcast_snooping 0",
                f"link set {bridge} up",
                f"link add {device} type veth peer name {inner} netns {name}",
                f"link set {device} master {bridge} up",
            )
        ),
    )
    for side, mine, theirs in (("w", 1, 2), ("e", 2, 1)):
        batch(
            f"lan-{side}",
            "link set lo up",
            "link set eth0 up",
            f"address add 10.{mine}.0.10/32 dev lo",
            f"address add fd0{mine}::10/128 dev lo",
            "address add 169.254.0.1/30 dev eth0",
            "address add fd99::1/126 dev eth0 nodad",
            f"route add 10.{theirs}.0.0/24 via 169.254.0.2 src 10.{mine}.0.10",
            f"route add fd0{theirs}::/64 via fd99::2 src fd0{mine}::10",
        )
    batch(
        INTERNET,
        "link set lo up",
        *(f"link set {side} up" for side in "we"),
        "address add 203.0.113.1/24 dev w",
        "address add 198.51.100.1/24 dev e",
        "address add 2001:db8:a::1/64 dev w nodad",
        "address add 2001:db8:b::1/64 dev e nodad",
    )


def run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def batch(name: str | None, *commands: str) -> None:
    """Do commands of ip(8) in a namespace, in one process: here a process takes 30 ms."""
    where = ["-n", name] if name else []
    text = "".join(f"{command}\n" for command in commands)
    subprocess.run(["ip", *where, "-batch", "-"], input=text, text=True, check=True)


@contextlib.contextmanager
def delay(milliseconds: int) -> Iterator[None]:
    """Let the internet take so long for a way there and back."""
    for side in "we":
        run("tc", "-n", INTERNET, "qdisc", "replace", "dev", side, "root", "netem",
            "delay", f"{milliseconds / 2}ms", "limit", "5000")  # fmt: skip
    try:
        yield
    finally:
        for side in "we":
            run("tc", "-n", INTERNET, "qdisc", "del", "dev", side, "root")


@contextlib.contextmanager
def cut(side: str) -> Iterator[None]:
    """Let nothing of that side get through the internet."""
    run("ip", "-n", INTERNET, "link", "set", side, "down")
    try:
        yield
    finally:
        run("ip", "-n", INTERNET, "link", "set", side, "up")
        # IPv6 addresses go with the link's state.
        address = {"w": "2001:db8:a::1/64", "e": "2001:db8:b::1/64"}[side]
        batch(INTERNET, f"address replace {address} dev {side} nodad")


class Traffic:
    """The program `traffic`, which sends while the block runs."""

    def __init__(self, flows: Sequence[tuple[str, str, str, str]], inner: Sequence[str]) -> None:
        wires = [(INTERNET, side) for side in "we"]
        spec = json.dumps({"flows": flows, "wires": wires, "inner": inner})
        program = pathlib.Path(__file__).with_name("traffic.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(program), spec],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready"

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def read(self) -> Seen:
        """Return what happened since the last time; takes the patience for the last answer."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Seen(json.loads(self._line()))

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class Seen:
    """What `traffic` tells."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.sent = [flow["sent"] for flow in told["flows"]]
        self.lost = [len(flow["lost"]) for flow in told["flows"]]
        # The first and the last packet lost of each flow, as numbers of a hundredth of a second.
        self.when = [(flow["lost"][0], flow["lost"][-1]) for flow in told["flows"] if flow["lost"]]
        self.wire: dict[str, int] = told["wire"]

    def __repr__(self) -> str:
        return f"sent {self.sent}, lost {self.lost} at {self.when}, wire {self.wire}"

    def assert_closed(self) -> None:
        """Check that nobody could see an inner packet, nor anything that isn't IKE or IPsec."""
        assert not self.wire.keys() & {"clear", "other"}, self


def ping(name: str, source: str, target: str, size: int = 56) -> bool:
    """Send one echo request of so many bytes of IP and tell whether it was answered."""

    def attempt() -> bool:
        version = 6 if ":" in source else 4
        data = bytes(size - {4: 28, 6: 48}[version])
        packet = echo(source, target, data)[{4: 20, 6: 40}[version] :]
        family = socket.AF_INET6 if version == 6 else socket.AF_INET
        protocol = socket.IPPROTO_ICMPV6 if version == 6 else socket.IPPROTO_ICMP
        with socket.socket(family, socket.SOCK_RAW, protocol) as sock:
            dont_fragment(sock)
            sock.bind((source, 0))
            sock.settimeout(3)
            try:
                sock.sendto(packet, (target, 0))
                while True:
                    answer, (sender, *_) = sock.recvfrom(4000)
                    kind = answer[20:][0] if version == 4 else answer[0]
                    if sender == target and kind == {4: 0, 6: 129}[version]:
                        return True
            except TimeoutError:
                return False

    return inside.within(name, attempt)


def dont_fragment(sock: socket.socket) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, 62, 1)  # IPV6_DONTFRAG (linux/in6.h)
        sock.setsockopt(socket.IPPROTO_IPV6, 23, 3)  # IPV6_MTU_DISCOVER: IPV6_PMTUDISC_PROBE
    else:
        sock.setsockopt(socket.IPPROTO_IP, 10, 3)  # IP_MTU_DISCOVER: IP_PMTUDISC_PROBE


def too_big_answer(name: str, source: str, target: str, size: int) -> int:
    """Send a packet of so many bytes of IP and return the MTU that an ICMP error tells."""

    def attempt() -> int:
        version = 6 if ":" in source else 4
        family = socket.AF_INET6 if version == 6 else socket.AF_INET
        protocol = socket.IPPROTO_ICMPV6 if version == 6 else socket.IPPROTO_ICMP
        with (
            socket.socket(family, socket.SOCK_RAW, protocol) as errors,
            socket.socket(family, socket.SOCK_DGRAM) as sock,
        ):
            errors.settimeout(3)
            sock.bind((source, 0))
            dont_fragment(sock)
            sock.sendto(bytes(size - {4: 28, 6: 48}[version]), (target, 9))
            while True:
                answer = errors.recv(4000)[{4: 20, 6: 0}[version] :]
                # Fragmentation needed (RFC 1191 §4), packet too big (RFC 4443 §3.2)
                if answer[:2] == {4: b"\x03\x04", 6: b"\x02\x00"}[version]:
                    return int.from_bytes(answer[4:8])

    return inside.within(name, attempt)


class Connection(NamedTuple):
    """Both ends of a connection by TCP."""

    client: socket.socket
    arrived: socket.socket

    def send(self, size: int) -> int:
        """Send so many bytes and return how many arrived."""
        return _pump(self.client, self.arrived, size)


def transfer(here: str, source: str, there: str, target: str, size: int) -> int:
    """Send so many bytes by TCP and return how many arrived."""
    with connected(here, source, there, target) as connection:
        return connection.send(size)


@contextlib.contextmanager
def connected(here: str, source: str, there: str, target: str) -> Iterator[Connection]:
    """Have a connection by TCP from one namespace's address to another's."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    server = inside.within(there, lambda: socket.create_server((target, 0), family=family))
    with server:
        server.settimeout(10)
        port = server.getsockname()[1]

        def connect() -> socket.socket:
            return socket.create_connection((target, port), 10, (source, 0))

        with inside.within(here, connect) as client:
            arrived, _ = server.accept()
            with arrived:
                arrived.settimeout(10)
                client.setblocking(False)
                yield Connection(client, arrived)


def _pump(client: socket.socket, arrived: socket.socket, size: int) -> int:
    data = bytes(size)
    received = 0
    offset = 0
    while received < size:
        with contextlib.suppress(BlockingIOError):
            offset += client.send(data[offset : offset + 65536]) if offset < size else 0
        received += len(arrived.recv(1 << 20))
    return received
