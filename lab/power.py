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
    openvswitch.address_switches(box, cloud, chassis)
