"""The same path with gateways that somebody configured by hand, with swanctl: to compare with."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from swanherd.core.home import key_of
from swanherd.core.model import HomeNamespace
from tests.functional.l3.stand import Plan, legacy, within
from tests.kernel.wires import batch, run

WORKLOADS = ("10.11.0.10", "10.12.0.10")
_NETWORKS = ("10.11.0.0/24", "10.12.0.0/24")
# Sites beside those of `tests.functional.l3.stand`.
ROUTERS = Plan("hand-west", 3), Plan("hand-east", 4)
_PUBLIC = ("203.0.113.3", "198.51.100.3")
_GATEWAYS = ("203.0.113.1", "198.51.100.1")

_CONF = """charon-systemd {{
  load = random nonce aes sha1 sha2 hmac kdf openssl gcm kernel-netlink socket-default vici
  plugins {{
    vici {{
      socket = unix://{socket}
    }}
  }}
}}
"""

# What builders.ike_policy and builders.ipsec_policy say, in swanctl's words.
_CONNECTION = """connections {{
  tunnel {{
    version = 2
    local_addrs = {here}
    remote_addrs = {there}
    proposals = aes256-sha256-ecp256
    local {{
      auth = psk
    }}
    remote {{
      auth = psk
    }}
    children {{
      tunnel {{
        esp_proposals = aes256-sha256-ecp256
        local_ts = {mine}
        remote_ts = {theirs}
      }}
    }}
  }}
}}
secrets {{
  ike-1 {{
    secret = "by hand"
  }}
}}
"""


@contextlib.contextmanager
def gateways(directory: Path) -> Iterator[None]:
    """Have both gateways and their tunnel while the block runs."""
    for number, side in enumerate("we"):
        _wire(side, number)
    with _tunnel(directory, ("hand-w", "hand-e"), _PUBLIC, _NETWORKS):
        yield


@contextlib.contextmanager
def routers(directory: Path, lay: Callable[[Plan], HomeNamespace] = legacy) -> Iterator[None]:
    """Have two routers with Neutron's rules, and a tunnel between them.

    Who does so by hand takes the tunnel's packets from Neutron's SNAT, and those of a workload
    with a floating IP to the central part.
    """
    names = [key_of(plan.router_id, lay(plan)) for plan in ROUTERS]
    for name, here, there in zip(names, ROUTERS, reversed(ROUTERS), strict=True):
        rule = ("POSTROUTING", "-d", there.networks[0], "-j", "ACCEPT")
        within(name, "iptables", "-t", "nat", "-I", *rule)
        if lay is not legacy:
            way = ("from", here.networks[0], "to", there.networks[0], "lookup", "777")
            steering = key_of(here.router_id, HomeNamespace.ROUTER)
            run("ip", "-n", steering, "rule", "add", *way, "priority", "3000")
    public, networks = ([getattr(p, what)[0] for p in ROUTERS] for what in ("public", "networks"))
    with _tunnel(directory, names, public, networks):
        yield


@contextlib.contextmanager
def _tunnel(
    directory: Path, names: Sequence[str], public: Sequence[str], networks: Sequence[str]
) -> Iterator[None]:
    """Have charons in both namespaces, and a tunnel, while the block runs."""
    daemons = []
    try:
        for number, side in enumerate("we"):
            connection = _CONNECTION.format(
                here=public[number],
                there=public[1 - number],
                mine=networks[number],
                theirs=networks[1 - number],
            )
            daemons.append(_start(directory, side, names[number], connection))
        done = _swanctl(directory, "w", "--initiate", "--child", "tunnel")
        assert "completed successfully" in done, done
        yield
    finally:
        for daemon in daemons:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()


def _wire(side: str, number: int) -> None:
    mine, theirs = 11 + number, 12 - number
    name = f"hand-{side}"
    run("ip", "netns", "add", name)
    run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    batch(
        None,
        *(
            command
            for device, bridge in ((f"hp{side}", f"br-p{side}"), (f"ht{side}", f"br-t{side}"))
            for command in (
                f"link add {device} type veth peer name {device[:2]} netns {name}",
                f"link set {device} master {bridge} up",
            )
        ),
    )
    batch(
        name,
        "link set lo up",
        "link set hp up",
        "link set ht up",
        f"address add {_PUBLIC[number]}/24 dev hp",
        "address add 169.254.8.2/30 dev ht",
        f"route add default via {_GATEWAYS[number]}",
        f"route add 10.{mine}.0.0/24 via 169.254.8.1",
    )
    batch(
        f"lan-{side}",
        "address add 169.254.8.1/30 dev eth0",
        f"address add 10.{mine}.0.10/32 dev lo",
        f"route add 10.{theirs}.0.0/24 via 169.254.8.2 src 10.{mine}.0.10",
    )


def _start(directory: Path, side: str, name: str, connection: str) -> subprocess.Popen[bytes]:
    socket, conf = directory / f"{side}.vici", directory / f"{side}.conf"
    conf.write_text(_CONF.format(socket=socket))
    (directory / f"{side}.swanctl").write_text(connection)
    daemon = subprocess.Popen(
        ["ip", "netns", "exec", name, "/usr/sbin/charon-systemd"],
        env={**os.environ, "STRONGSWAN_CONF": str(conf)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 20
    while not socket.exists():
        assert time.monotonic() < deadline, "charon doesn't start"
        time.sleep(0.05)
    _swanctl(directory, side, "--load-all", "--file", str(directory / f"{side}.swanctl"))
    return daemon


def _swanctl(directory: Path, side: str, command: str, *arguments: str) -> str:
    argv = ["swanctl", command, *arguments, "--uri", f"unix://{directory / f'{side}.vici'}"]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout
