"""Veth pairs between this node's namespace and a router's, and the addresses on them."""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import ipaddress
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

from pyroute2 import IPRoute

from swanherd.dataplane.privileged import default, inside, listings

_IFA_F_NODAD = 2

# linux/sockios.h, linux/ethtool.h
_SIOCETHTOOL = 0x8946
_ETHTOOL_GTXCSUM = 0x16
_ETHTOOL_STXCSUM = 0x17


@default.entrypoint
def ensure_link(namespace: str, outer: str, device: str, mac: str, mtu: int) -> None:
    """Bring the pair to this shape, both ends up, or make it."""
    with inside.netlink() as ip:
        theirs = inside.within(namespace, lambda: listings.link(device))
        if not is_pair(listings.link(outer), theirs):
            _remove(ip, outer)
            inside.within(namespace, lambda: _remove_here(device))
            _make(ip, namespace, outer, device, mac)
        ip.link("set", ifname=outer, mtu=mtu, state="up")
    inside.within(namespace, lambda: _shape(device, mac, mtu))


@default.entrypoint
def outer_end(namespace: str, device: str) -> str | None:
    """Return the name of the device's other end in the node's namespace; None without a pair."""
    theirs = inside.within(namespace, lambda: listings.link(device))
    if theirs is None or not theirs["peer"]:
        return None
    with listings.listing() as listing:
        ours = listing.link(index=theirs["peer"])
    return str(ours["name"]) if ours is not None and is_pair(ours, theirs) else None


@default.entrypoint
def remove_outer_end(outer: str) -> None:
    """Remove a device of the node's own namespace; idempotent."""
    with inside.netlink() as ip:
        _remove(ip, outer)


@default.entrypoint
def remove_device(namespace: str, device: str) -> None:
    """Remove a device of the namespace; idempotent."""
    with contextlib.suppress(FileNotFoundError):
        inside.within(namespace, lambda: _remove_here(device))


@default.entrypoint
def set_addresses(namespace: str, device: str, addresses: Sequence[str]) -> None:
    """Let the device have these addresses, with their prefix lengths, and no others.

    An IPv6 link-local address that the kernel made stays.
    """

    def work() -> None:
        with inside.netlink() as ip:
            index = _index(device)
            with listings.listing() as listing:
                have = set(listing.addresses().get(index, ()))
            for address in set(addresses) - have:
                _change_address(ip, "replace", index, address)
            for address in have - set(addresses):
                _change_address(ip, "del", index, address)

    inside.within(namespace, work)


@default.entrypoint
def add_address(namespace: str, device: str, address: str) -> None:
    """Add an address to a device; idempotent."""

    def work() -> None:
        with inside.netlink() as ip:
            _change_address(ip, "replace", _index(device), address)

    inside.within(namespace, work)


@default.entrypoint
def remove_address(namespace: str, device: str, address: str) -> None:
    """Remove an address from a device; idempotent."""

    def work() -> None:
        with inside.netlink() as ip:
            _change_address(ip, "del", _index(device), address)

    with inside.ignoring(errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENOENT):
        inside.within(namespace, work)


@default.entrypoint
def claim_again(namespace: str, device: str, address: str) -> None:
    """Give a device an IPv6 address anew: the kernel asks again whether another has it.

    Nothing if the device doesn't have it any more.
    """

    def work() -> None:
        with inside.netlink() as ip:
            index = _index(device)
            _change_address(ip, "del", index, address)
            _change_address(ip, "add", index, address, flags=0)

    with inside.ignoring(errno.EADDRNOTAVAIL, errno.ENODEV):
        inside.within(namespace, work)


@default.entrypoint
def outer_links(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return those of these devices that this node's own namespace has, by name."""
    with listings.listing() as listing:
        return {name: found for name in names if (found := listing.link(name=name))}


@default.entrypoint
def here(namespace: str, device: str) -> list[str]:
    """Return the addresses of a device that is up; none if it or the namespace isn't there."""

    def ask() -> list[str]:
        with listings.listing() as listing:
            link = listing.link(name=device)
            return listing.addresses().get(link["index"], []) if link and link["up"] else []

    try:
        return inside.within(namespace, ask)
    except FileNotFoundError:
        return []


def is_pair(ours: dict[str, Any] | None, theirs: dict[str, Any] | None) -> bool:
    """Tell whether two devices are the ends of one veth pair."""
    return (
        ours is not None
        and theirs is not None
        and (ours["peer"], theirs["peer"]) == (theirs["index"], ours["index"])
    )


def has_tx_checksum(device: str) -> bool:
    """Tell whether the device of this thread's namespace leaves checksums to hardware."""
    return bool(_ethtool(device, _ETHTOOL_GTXCSUM, 0))


def _index(device: str) -> int:
    if found := listings.link(device):
        return int(found["index"])
    raise OSError(errno.ENODEV, f"there is no device {device}")


def _remove(ip: IPRoute, name: str) -> None:
    if found := listings.link(name):
        ip.link("del", index=found["index"])


def _remove_here(device: str) -> None:
    with inside.netlink() as ip:
        _remove(ip, device)


def _make(ip: IPRoute, namespace: str, outer: str, device: str, mac: str) -> None:
    fd = os.open(inside.DIRECTORY / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        peer = {"ifname": device, "net_ns_fd": fd, "address": mac}
        ip.link("add", ifname=outer, kind="veth", peer=peer)
    finally:
        os.close(fd)


def _shape(device: str, mac: str, mtu: int) -> None:
    link = listings.link(device)
    if link is None:
        raise OSError(errno.ENODEV, f"there is no device {device}")
    with inside.netlink() as ip:
        changes: dict[str, Any] = {"mtu": mtu, "state": "up"}
        if link["mac"] != mac:
            changes["address"] = mac
        ip.link("set", index=link["index"], **changes)
    # The userspace datapath forwards what it gets: a TCP checksum that was left to hardware
    # would stay empty for ever.
    _ethtool(device, _ETHTOOL_STXCSUM, 0)


def _ethtool(device: str, command: int, value: int) -> int:
    """Do a get or set of one value (ethtool_value) and return the value."""
    data = array.array("I", (command, value))
    address, _ = data.buffer_info()
    request = struct.pack("16sP", device.encode(), address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCETHTOOL, request)
    return data[1]


def _change_address(
    ip: IPRoute, command: str, index: int, address: str, flags: int = _IFA_F_NODAD
) -> None:
    interface = ipaddress.ip_interface(address)
    family = socket.AF_INET if interface.version == 4 else socket.AF_INET6
    arguments: dict[str, Any] = {
        "index": index,
        "address": str(interface.ip),
        "prefixlen": interface.network.prefixlen,
        "family": family,
    }
    if interface.version == 6 and command != "del":
        arguments["flags"] = flags
    ip.addr(command, **arguments)
