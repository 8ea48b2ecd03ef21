"""The wires between boxes, and the hosts of the internet.

A wire is made inside a box with its far end born in the other: nothing ever shows in the
machine's own network namespace.
"""

from __future__ import annotations

import contextlib
import ipaddress
import subprocess
from collections.abc import Iterator, Sequence

from lab.boxes import Box
from lab.layout import (
    FABRIC_BOX,
    INTERNET_BOX,
    PUBLIC_CIDRS,
    USER_BOX,
    WEB_ADDRESSES,
    WEB_HOST,
    CloudPlan,
    Lab,
    gateway_of,
    interface_of,
)


def connect(one: Box, one_device: str, other: Box, other_device: str) -> None:
    """Lay a wire between two boxes. Checksums are made in software: OVS' userspace needs them."""
    # In the box's network but with our process ids, by which the far end's namespace is named.
    made = ["nsenter", "-t", str(one.init().pid), "-n", "ip", "link", "add", one_device, "type"]
    far = ["veth", "peer", "name", other_device, "netns", str(other.init().pid)]
    subprocess.run([*made, *far], check=True)
    one.ip(f"link set {one_device} up")
    other.ip(f"link set {other_device} up")
    one.run(["ethtool", "-K", one_device, "tx", "off"])
    other.run(["ethtool", "-K", other_device, "tx", "off"])


def add_bridge(box: Box, name: str, addresses: Sequence[str] = ()) -> None:
    """Make a switch in a box, with addresses of the box on it."""
    box.ip(
        f"link add {name} type bridge forward_delay 0",
        f"link set {name} up",
        *(_add_address(name, a) for a in addresses),
    )


def add_public_cidrs(lab: Lab, cloud: CloudPlan, cidrs: Sequence[str]) -> None:
    """Give a cloud's public network more prefixes that the internet routes (its .1 or ::1)."""
    inet = Box(lab, INTERNET_BOX)
    inet.ip(*(_add_address(cloud.public_bridge, interface_of(c), "replace") for c in cidrs))


def add_internet_route(lab: Lab, cidr: str, via: str) -> None:
    """Let the internet route a prefix to a router of a cloud (IPv6 subnets aren't translated)."""
    Box(lab, INTERNET_BOX).ip(f"route replace {cidr} via {via}")


def add_host(lab: Lab, name: str, addresses: Sequence[str]) -> None:
    """Add a host of the internet: a namespace of the internet box on a routed link of its own.

    Addresses have prefix lengths; the internet answers at the first address of each prefix.
    """
    inet = Box(lab, INTERNET_BOX)
    nets = [str(ipaddress.ip_interface(a).network) for a in addresses]
    inet.run(["ip", "netns", "add", name])
    inet.ip(
        f"link add h-{name} type veth peer name eth0 netns {name}",
        f"link set h-{name} up",
        *(_add_address(f"h-{name}", interface_of(n)) for n in nets),
    )
    inet.ip(
        "link set lo up",
        "link set eth0 up",
        *(_add_address("eth0", a) for a in addresses),
        *(f"route add default via {gateway_of(n)}" for n in nets),
        netns=name,
    )
    inet.run(["ethtool", "-K", f"h-{name}", "tx", "off"])
    inet.run(["ethtool", "-K", "eth0", "tx", "off"], name)


@contextlib.contextmanager
def internet_cut(lab: Lab) -> Iterator[None]:
    """Let nothing pass between the two clouds' public networks, as long as the block lasts."""
    inet = Box(lab, INTERNET_BOX)
    one, other = (cloud.public_bridge for cloud in lab.clouds)
    rules = "".join(
        f"add rule inet cut forward iifname {a} oifname {b} drop\n"
        for a, b in ((one, other), (other, one))
    )
    hook = "{ type filter hook forward priority 0; }"
    made = f"add table inet cut\nadd chain inet cut forward {hook}\n{rules}"
    inet.run(["nft", "-f", "-"], input=made)
    try:
        yield
    finally:
        inet.run(["nft", "delete", "table", "inet", "cut"])


@contextlib.contextmanager
def internet_narrow(lab: Lab, mtu: int) -> Iterator[None]:
    """Let the internet send no larger packets to the second cloud, as long as the block lasts.

    It says so by ICMP.
    """
    inet, bridge = Box(lab, INTERNET_BOX), lab.clouds[1].public_bridge
    inet.ip(f"link set {bridge} mtu {mtu}")
    try:
        yield
    finally:
        inet.ip(f"link set {bridge} mtu 1500")


def lay_common(lab: Lab) -> None:
    """Make the switches of both clouds, the user's links to the APIs and the internet's host."""
    fabric, inet, user = Box(lab, FABRIC_BOX), Box(lab, INTERNET_BOX), Box(lab, USER_BOX)
    for cloud in lab.clouds:
        add_bridge(fabric, f"mgmt-{cloud.name}")
        add_bridge(fabric, f"under-{cloud.name}")
        public = [interface_of(c) for c in PUBLIC_CIDRS[cloud.name]]
        add_bridge(inet, cloud.public_bridge, public)
        connect(fabric, f"m-user-{cloud.name}", user, f"cloud-{cloud.name}")
        fabric.ip(f"link set m-user-{cloud.name} master mgmt-{cloud.name}")
        user.ip(f"address add 10.99.{cloud.number}.1/24 dev cloud-{cloud.name}")
    add_host(lab, WEB_HOST, WEB_ADDRESSES)


def lay_chassis(lab: Lab, cloud: CloudPlan, name: str) -> None:
    """Connect one chassis: management, underlay and, where it has one, the public wire."""
    chassis = next(c for c in cloud.chassis if c.name == name)
    box, fabric, inet = Box(lab, name), Box(lab, FABRIC_BOX), Box(lab, INTERNET_BOX)
    connect(fabric, f"m-{name}", box, "mgmt")
    connect(fabric, f"u-{name}", box, "underlay")
    fabric.ip(
        f"link set m-{name} master mgmt-{cloud.name}",
        f"link set u-{name} master under-{cloud.name}",
    )
    box.ip(f"address add {chassis.management(cloud.number)}/24 dev mgmt")
    if chassis.public:
        connect(inet, f"p-{name}", box, "public")
        inet.ip(f"link set p-{name} master {cloud.public_bridge}")


def _add_address(device: str, address: str, verb: str = "add") -> str:
    nodad = " nodad" if ":" in address else ""
    return f"address {verb} {address} dev {device}{nodad}"
