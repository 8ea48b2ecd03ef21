"""OVN in the boxes of a cloud, with the userspace datapath."""

from __future__ import annotations

import dataclasses

from lab import openvswitch, services
from lab.boxes import Box
from lab.layout import Chassis, CloudPlan, Lab
from lab.services import Service

NORTHBOUND = "unix:/run/ovn/ovnnb_db.sock"
SOUTHBOUND = "unix:/run/ovn/ovnsb_db.sock"
PROBE_MS = 60_000  # on a busy machine a shorter probe ends healthy connections


@dataclasses.dataclass(frozen=True, slots=True)
class Database:
    """One of OVN's two databases."""

    short: str
    schema: str
    root: str
    port: int

    @property
    def socket(self) -> str:
        """Its socket in the central box."""
        return f"/run/ovn/ovn{self.short}_db.sock"


DATABASES = (
    Database("nb", "OVN_Northbound", "NB_Global", 6641),
    Database("sb", "OVN_Southbound", "SB_Global", 6642),
)


def southbound(cloud: CloudPlan) -> str:
    """Return where the southbound database answers on the management network."""
    return f"tcp:{cloud.api_address}:6642"


def start_central(lab: Lab, cloud: CloudPlan) -> None:
    """Start OVN's databases, which also answer on the management network, and northd."""
    box = Box(lab, cloud.central.name)
    for database in DATABASES:
        _start_database(box, cloud, database)
    northd = ("ovn-northd", f"--ovnnb-db={NORTHBOUND}", f"--ovnsb-db={SOUTHBOUND}")
    services.start(box, Service("ovn-northd", (*northd, "--pidfile=/run/ovn/ovn-northd.pid")))


def _start_database(box: Box, cloud: CloudPlan, database: Database) -> None:
    short = database.short
    path = f"/var/lib/ovn/ovn{short}.db"
    box.run(["ovsdb-tool", "create", path, f"/usr/share/ovn/ovn-{short}.ovsschema"])
    service = f"ovsdb-{short}"
    argv = (
        *("ovsdb-server", path, f"--remote=punix:{database.socket}"),
        f"--remote=db:{database.schema},{database.root},connections",
        f"--unixctl=/run/ovn/ovn{short}_db.ctl",
        f"--pidfile=/run/ovn/ovn{short}_db.pid",
    )
    services.start(box, Service(service, argv))
    openvswitch.wait_for_path(box, service, database.socket)
    control = f"ovn-{short}ctl"
    box.run([control, "init"])
    box.run(
        [
            *(control, f"--inactivity-probe={PROBE_MS}", "set-connection"),
            f"ptcp:{database.port}:{cloud.api_address}",
        ]
    )


def start_chassis(lab: Lab, cloud: CloudPlan, chassis: Chassis) -> None:
    """Start Open vSwitch and ovn-controller on a chassis."""
    box = Box(lab, chassis.name)
    openvswitch.start(lab, cloud, chassis, _settings(cloud, chassis))
    pidfile = "--pidfile=/run/ovn/ovn-controller.pid"
    services.start(box, Service("ovn-controller", ("ovn-controller", openvswitch.OVSDB, pidfile)))


def _settings(cloud: CloudPlan, chassis: Chassis) -> dict[str, object]:
    settings: dict[str, object] = {
        "ovn-remote": southbound(cloud),
        "ovn-remote-probe-interval": PROBE_MS,
        "ovn-openflow-probe-interval": PROBE_MS // 1000,
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": chassis.underlay(cloud.number),
        "ovn-bridge-datapath-type": "netdev",
    }
    if chassis.public:
        settings["ovn-bridge-mappings"] = "public:br-ex"
    if chassis.gateway:
        settings["ovn-cms-options"] = "enable-chassis-as-gw"
    return settings


def wait_for_chassis(lab: Lab, cloud: CloudPlan) -> None:
    """Wait until every chassis of the cloud is in the southbound database."""
    box = Box(lab, cloud.central.name)
    wanted = {c.name for c in cloud.chassis}

    def registered() -> bool:
        listed = box.run(["ovn-sbctl", "--bare", "--columns=hostname", "list", "Chassis"])
        return wanted <= set(listed.stdout.split())

    services.wait(box, "ovn-northd", registered, 30, f"chassis {sorted(wanted)} not registered")
