"""What all agents of Neutron's own kind read first, whoever's they are."""

from __future__ import annotations

from lab import bus, openvswitch
from lab.layout import Chassis, CloudPlan, Lab

# What follows may go on in these sections: oslo.config takes a section in several parts.
_HEAD = """\
[DEFAULT]
debug = {debug}
host = {host}
transport_url = {bus}
state_path = /var/lib/neutron
interface_driver = openvswitch
[oslo_concurrency]
lock_path = /var/lib/neutron/lock
[oslo_messaging_rabbit]
rabbit_quorum_queue = False
rabbit_interval_max = 5
[ovs]
ovsdb_connection = {ovsdb}
"""


def head(lab: Lab, cloud: CloudPlan, chassis: Chassis) -> str:
    """Return the configuration's beginning for a chassis."""
    return _HEAD.format(
        debug=lab.shape.debug, host=chassis.name, bus=bus.url(cloud), ovsdb=openvswitch.OVSDB
    )
