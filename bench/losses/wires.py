"""Wires of the stage: a bridge for the internet, one for each router's inside, and workloads."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from swanherd.core.model import PortId, RouterId
from swanherd.ovn.vswitch import PluggedPort

WIRE = "wire"  # the internet
_NEW_NET, _NEW_MOUNT = 0x40000000, 0x00020000  # sched.h


def run(*argv: str) -> str:
    """Run a command that must succeed; return what it prints."""
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise OSError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def make_bridges(inside: Iterable[str]) -> None:
    """Make the wire, and a bridge of each name."""
    for bridge in (WIRE, *inside):
        run("ip", "link", "add", bridge, "type", "bridge")
        run("ip", "link", "set", bridge, "up")


def delay_on(port_name: str, delay_ms: float) -> None:
    """Let what goes to a port of the wire take so many milliseconds."""
    if delay_ms:
        delay = ("netem", "delay", f"{delay_ms}ms", "limit", "10000")
        run("tc", "qdisc", "replace", "dev", port_name, "root", *delay)


class Bridges:
    """Implements `agent.node.Bridge` with Linux bridges; `delay_ms` is one way, on the wire.

    `inside` names the bridge of each router's transit.
    """

    def __init__(self, inside: Mapping[RouterId, str], delay_ms: float) -> None:
        self._inside = inside
        self._delay_ms = delay_ms
        self._ports: dict[str, PluggedPort] = {}
        make_bridges(inside.values())

    def plug(self, port_name: str, port_id: PortId, mac: str, router_id: RouterId) -> None:
        """Make the device a port of the wire or of the router's inside; idempotent."""
        is_public = port_name.startswith("vp")
        bridge = WIRE if is_public else self._inside[router_id]
        run("ip", "link", "set", port_name, "master", bridge)
        if is_public:
            delay_on(port_name, self._delay_ms)
        self._ports[port_name] = PluggedPort(port_id, mac, router_id)

    def unplug(self, port_name: str) -> None:
        """Forget the port."""
        self._ports.pop(port_name, None)

    def evict(self, port_name: str, router_id: RouterId) -> None:
        """Remove a port that isn't ours."""
        self._ports.pop(port_name, None)

    def ports(self) -> Mapping[str, PluggedPort]:
        """Return our ports by device name."""
        return dict(self._ports)


def make_workload(
    name: str, bridge: str, gateway: Sequence[str], addresses: Sequence[str]
) -> None:
    """Make a namespace that is router and workload in one: it is the transit's other side."""
    run("ip", "netns", "add", name)
    run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
    run("ip", "link", "set", name, "master", bridge, "up")
    for address in gateway:
        nodad = ("nodad",) if ":" in address else ()
        run("ip", "-n", name, "address", "add", address, "dev", "eth0", *nodad)
    run("ip", "-n", name, "link", "set", "lo", "up")
    run("ip", "-n", name, "link", "set", "eth0", "up")
    for address in addresses:
        run("ip", "-n", name, "address", "add", address, "dev", "lo")
    # As in the cloud: what a checksum offload leaves out, userspace ESP can't add.
    run("ip", "netns", "exec", name, "ethtool", "-K", "eth0", "tx", "off")


def make_routes(name: str, via: Sequence[str]) -> None:
    """Send everything that isn't the workload's own to the namespace under test."""
    for address in via:
        family = "-6" if ":" in address else "-4"
        run("ip", "-n", name, family, "route", "replace", "default", "via", address)


def alone() -> None:
    """Give this process a network and a /run/netns of its own; they go with it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NET | _NEW_MOUNT):
        raise OSError(ctypes.get_errno(), "unshare: root is needed")
    run("mount", "--make-rprivate", "/")
    Path("/run/netns").mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
    run("ip", "link", "set", "lo", "up")
