"""Configurations of the other side's device, from what the API says of a connection."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from swanherd_client.peers import (
    cisco,
    fortigate,
    libreswan,
    openstack,
    pfsense,
    strongswan,
    vyos,
)
from swanherd_client.peers.words import File
from swanherd_client.tunnel import Tunnel


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """A kind of device: what people call it, and how far its output is proven."""

    title: str
    files: Callable[[Tunnel], tuple[File, ...]]
    proof: str


DEVICES: Mapping[str, Device] = {
    "strongswan": Device(
        "strongSwan (swanctl.conf)", strongswan.files, "booted unedited in tests"
    ),
    "libreswan": Device("libreswan", libreswan.files, "booted unedited in tests"),
    "openstack": Device("another OpenStack (script)", openstack.files, "run unedited in tests"),
    "vyos": Device("VyOS 1.4", vyos.files, "untested"),
    "cisco-ios-xe": Device("Cisco IOS-XE 17", cisco.files, "untested"),
    "fortigate": Device("FortiGate (FortiOS 7)", fortigate.files, "untested"),
    "pfsense": Device("pfSense 2.7 (what to enter)", pfsense.files, "untested"),
}


def export(device: str, tunnel: Tunnel, psk: str | None = None) -> tuple[File, ...]:
    """Return the device's files, with the key only if it is given.

    Raises Unsayable if the device's configuration can't say what the API says.
    """
    return DEVICES[device].files(dataclasses.replace(tunnel, psk=psk))
