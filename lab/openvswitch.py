"""Open vSwitch in the boxes of a cloud, with the userspace datapath."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

from lab import services
from lab.boxes import Box
from lab.layout import Chassis, CloudPlan, Lab
from lab.services import Service

OVSDB = "unix:/run/openvswitch/db.sock"

# Whoever ends itself by SIGABRT is started again, and then a command is tried until it succeeds.
_AGAIN = """
then=$1; shift
while :; do
    "$@" & program=$!
    trap "kill $program" TERM
    until [ -z "$again" ] || sh -c "$then" 2>/dev/null; do
        kill -0 $program || break
        sleep 0.1
    done
    wait $program
    code=$?
    [ $code = 134 ] || exit $code
    again=yes
    echo "lab: $1 ended itself, and is started again"
done
"""


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
    daemon: tuple[str, ...] = ("ovs-vswitchd", OVSDB, pidfile)
    if cloud.has_ovn:  # else what routers have of it would be dead (lab.replug)
        daemon = again(daemon, f"ip {' && ip '.join(_configure(cloud, chassis))}")
    services.start(box, Service("ovs-vswitchd", daemon))
    box.run(["ovs-vsctl", *_add_bridge("br-phy", "underlay")])
    if chassis.public:
        box.run(["ovs-vsctl", *_add_bridge("br-ex", "public")])
    box.ip(*_configure(cloud, chassis))


def again(argv: Sequence[str], then: str) -> tuple[str, ...]:
    """Return how to run a program as its monitor on a host does: anew if it ends itself.

    `then`: a command of the shell's that follows, tried until it succeeds. Open vSwitch 3.1.0's
    userspace datapath has an assertion that connections may break (`conn_update_state`).
    """
    return ("sh", "-c", _AGAIN, "again", then, *argv)


def address_switches(box: Box, cloud: CloudPlan, chassis: Chassis) -> None:
    """Configure the switches' own ports, as a host does when they appear.

    In the userspace datapath they are TUN devices, which go with ovs-vswitchd.
    """
    ports = _ports(chassis)

    def there() -> bool:
        return all(not box.run(["ip", "link", "show", p], check=False).returncode for p in ports)

    services.wait(box, "ovs-vswitchd", there, 30, f"no {ports}")
    box.ip(*_configure(cloud, chassis))


def _ports(chassis: Chassis) -> tuple[str, ...]:
    return ("br-phy", "br-ex") if chassis.public else ("br-phy",)


def _configure(cloud: CloudPlan, chassis: Chassis) -> list[str]:
    """Return what ip shall do to the switches' own ports; may be repeated."""
    address = f"address replace {chassis.underlay(cloud.number)}/24 dev br-phy"
    return [address, *(f"link set {port} up" for port in _ports(chassis))]


def _add_bridge(bridge: str, port: str) -> list[str]:
    made = ["add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev"]
    return [*made, "fail_mode=standalone", "--", "add-port", bridge, port]


def wait_for_path(box: Box, service: str, path: str) -> None:
    """Wait until a service of the box has made a file, such as its socket."""
    inside = pathlib.Path(f"/proc/{box.init().pid}/root{path}")
    services.wait(box, service, inside.exists, 15, f"no {path}")
