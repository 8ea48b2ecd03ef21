"""Devices of routers that die with ovs-vswitchd in the lab, and wouldn't on a host.

In the kernel's datapath a switch's own ports stay while ovs-vswitchd is away, in whatever
namespace they are. In the userspace datapath they are TUN devices: a new ovs-vswitchd makes others
of the same name on the host, and those in routers' namespaces are dead.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

from lab.boxes import Box
from lab.processes import wait_for

_NAMESPACES = ("qrouter-", "snat-", "fip-")
_DEVICES = ("qg-", "qr-", "sg-", "ha-", "fg-")  # neutron.agent.l3
_HA_ADDRESS = "169.254.0."  # Neutron tells by it who serves a redundant router
_KERNELS_OWN = ("local", "broadcast", "multicast", "anycast")
# What comes with an address, and what is learnt from an advertisement and goes by itself.
_BY_ITSELF = ("proto kernel", "proto ra")


def bring_back(box: Box) -> None:
    """Put new devices where the dead ones are, with their addresses and routes."""
    names = {line.split()[0] for line in box.run(["ip", "netns"]).stdout.splitlines() if line}
    parts = {f"qrouter-{n.removeprefix('snat-')}" for n in names if n.startswith("snat-")}
    # Those last that wait for Neutron's agent.
    for name in sorted(names, key=lambda name: name in parts):
        if name.startswith(_NAMESPACES):
            _bring_back(box, name, shared=name in parts)


def _bring_back(box: Box, name: str, *, shared: bool) -> None:
    """Put new devices into a namespace; `shared`: other nodes have those of the same addresses."""
    redundant = [link["ifname"] for link in _devices(box, name) if _is_ha(link)]
    for device in redundant:
        _replace(box, name, device)
    if redundant:
        # keepalived has lost its device and gives up the addresses, which are the other node's
        # then: who puts them back by hand makes two nodes that have them.
        wait_for(lambda: given_up(_devices(box, name)), 10, f"keepalived lets go in {name}")
    for link in _devices(box, name):
        if not _is_ha(link):
            _replace(box, name, link["ifname"], shared=shared)
    if redundant:
        # It never finds its new device by itself.
        keepalived = f"^keepalived .*{name.partition('-')[2]}"
        box.run(["pkill", "-HUP", "-o", "-f", keepalived], check=False)


def given_up(links: Sequence[dict[str, Any]]) -> bool:
    """Tell whether devices as `ip -j address` lists them have no address of keepalived's."""
    found = (each for link in links if not _is_ha(link) for each in _given(link))
    return all(each["scope"] == "link" for each in found)


def _given(link: dict[str, Any]) -> list[dict[str, Any]]:
    """Return its addresses but for what advertisements told a standby, and keepalived's own."""
    found = link["addr_info"]
    return [a for a in found if not (a.get("dynamic") or a["local"].startswith(_HA_ADDRESS))]


def _is_ha(link: dict[str, Any]) -> bool:
    return bool(link["ifname"].startswith("ha-"))


def _devices(box: Box, name: str) -> list[dict[str, Any]]:
    listed = json.loads(box.run(["ip", "-j", "address"], name).stdout)
    return [link for link in listed if link.get("ifname", "").startswith(_DEVICES)]


def _replace(box: Box, name: str, device: str, *, shared: bool = False) -> None:
    (link,) = (link for link in _devices(box, name) if link["ifname"] == device)
    lines = _routes(box, name, device)
    box.ip(f"link del {device}", netns=name)
    wait_for(functools.partial(_is_there, box, device), 30, f"a new {device}")
    if shared:
        # What a new device says of itself must not leave the node, or the others' switches send
        # to it what is for their own. A device that outlives the switch says nothing.
        kept = functools.partial(_is_kept, box, link["address"])
        wait_for(kept, 60, f"the node keeps {device}'s MAC to itself")
    box.ip(f"link set {device} netns {name}")
    box.ip(f"link set {device} address {link['address']} mtu {link['mtu']} up", netns=name)
    for each in _given(link):
        nodad = " nodad" if each["family"] == "inet6" else ""
        address = f"{each['local']}/{each['prefixlen']}"
        box.ip(f"address replace {address} dev {device} scope {each['scope']}{nodad}", netns=name)
    for line in lines:
        box.ip(f"route replace {line} dev {device}", netns=name)


def _is_there(box: Box, device: str) -> bool:
    return not box.run(["ip", "link", "show", device], check=False).returncode


def _is_kept(box: Box, mac: str) -> bool:
    """Tell whether Neutron's agent has the flow that gives a frame the node's own MAC instead."""
    flows = box.run(["ovs-ofctl", "dump-flows", "br-tun", f"dl_src={mac}"], check=False)
    return "mod_dl_src" in flows.stdout


def _routes(box: Box, name: str, device: str) -> Sequence[str]:
    """Return what leads to a device and isn't there with its addresses."""
    found = []
    for family in ("-4", "-6"):
        argv = ["ip", family, "route", "show", "table", "all", "dev", device]
        found += made_by_hand(box.run(argv, name).stdout)
    return found


def made_by_hand(listed: str) -> list[str]:
    """Return those of the routes of `ip route` that nothing brings back, to be given to it."""
    return [
        line.replace("linkdown", "").replace("dead", "").strip()
        for line in listed.splitlines()
        if not any(word in line for word in _BY_ITSELF) and not line.startswith(_KERNELS_OWN)
    ]
