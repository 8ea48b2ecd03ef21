"""A gateway that loses its power, and starts again as a host does: from what is on its disk."""

from __future__ import annotations

from lab import openvswitch, ovn, services, wires
from lab.boxes import Box
from lab.layout import Chassis, CloudPlan, Lab

# What others need first; the rest comes in any order, since every program waits for what it needs.
_FIRST = ("ovsdb-nb", "ovsdb-sb", "ovsdb-server")


def cut(lab: Lab, chassis: Chassis) -> None:
    """End everything on the chassis at once."""
    Box(lab, chassis.name).stop()


def boot(lab: Lab, cloud: CloudPlan, chassis: Chassis) -> None:
    """Start the chassis again with all services that it had."""
    box = Box(lab, chassis.name)
    box.start()
    wires.lay_chassis(lab, cloud, chassis.name)
    box.run(["chown", "rabbitmq:rabbitmq", "/run/rabbitmq"])
    names = services.names(box)
    sockets = {d.short: d.socket for d in ovn.DATABASES} | {
        "server": "/run/openvswitch/db.sock",
    }
    for name in (n for n in _FIRST if n in names):
        services.start(box, services.find(box, name).service)
        openvswitch.wait_for_path(box, name, sockets[name.removeprefix("ovsdb-")])
    for name in names:
        if name not in _FIRST:
            services.start(box, services.find(box, name).service)
    address_switches(box, cloud, chassis)


def address_switches(box: Box, cloud: CloudPlan, chassis: Chassis) -> None:
    """Configure the switches' own ports, as a host does when they appear.

    In the userspace datapath they are TUN devices, which go with ovs-vswitchd.
    """
    ports = ("br-phy", "br-ex") if chassis.public else ("br-phy",)

    def there() -> bool:
        return all(not box.run(["ip", "link", "show", p], check=False).returncode for p in ports)

    services.wait(box, "ovs-vswitchd", there, 30, f"no {ports}")
    box.ip(
        f"address replace {chassis.underlay(cloud.number)}/24 dev br-phy",
        *(f"link set {port} up" for port in ports),
    )
