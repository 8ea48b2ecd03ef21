"""Open vSwitch in the boxes of a cloud, with the userspace datapath."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

from lab import services
from lab.boxes import Box
from lab.layout import Chassis, CloudPlan, Lab
from lab.services import Service

OVSDB = "unix:/run/openvswitch/db.sock"


def start(lab: Lab, cloud: CloudPlan, chassis: Chassis, settings: Mapping[str, object]) -> None:
    """Start Open vSwitch on a chassis, with external_ids and the wires that the chassis has."""
    box = Box(lab, chassis.name)
    schema = "/usr/share/openvswitch/vswitch.ovsschema"
    box.run(["ovsdb-tool", "create", "/etc/openvswitch/conf.db", schema])
    argv = (
        *("ovsdb-server", "/etc/openvswitch/conf.db"),
        "--remote=punix:/run/openvswitch/db.sock",
        "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
        *("--remote=ptcp:6640:127.0.0.1", "--pidfile=/run/openvswitch/ovsdb-server.pid"),
    )
    services.start(box, Service("ovsdb-server", argv))
    wait_for_path(box, "ovsdb-server", "/run/openvswitch/db.sock")
    box.run(["ovs-vsctl", "--no-wait", "init"])
    named = {"system-id": chassis.name, "hostname": chassis.name, **settings}
    values = (f'external_ids:{k}="{v}"' for k, v in named.items())
    box.run(["ovs-vsctl", "--no-wait", "set", "Open_vSwitch", ".", *values])
    pidfile = "--pidfile=/run/openvswitch/ovs-vswitchd.pid"
    services.start(box, Service("ovs-vswitchd", ("ovs-vswitchd", OVSDB, pidfile)))
    box.run(["ovs-vsctl", *_add_bridge("br-phy", "underlay")])
    if chassis.public:
        box.run(["ovs-vsctl", *_add_bridge("br-ex", "public")])
        box.ip("link set br-ex up")
    box.ip(
        f"address add {chassis.underlay(cloud.number)}/24 dev br-phy",
        "link set br-phy up",
    )


def _add_bridge(bridge: str, port: str) -> list[str]:
    made = ["add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev"]
    return [*made, "fail_mode=standalone", "--", "add-port", bridge, port]


def wait_for_path(box: Box, service: str, path: str) -> None:
    """Wait until a service of the box has made a file, such as its socket."""
    inside = pathlib.Path(f"/proc/{box.init().pid}/root{path}")
    services.wait(box, service, inside.exists, 15, f"no {path}")
