"""What a lab consists of: names, addresses and paths. Values only, nothing is started here."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
ENVIRONMENTS = ROOT / "build" / "oracles"  # those beside it: tests/oracles/environments.py
STATE = pathlib.Path("/var/lib/swanherd-lab")
CACHE = pathlib.Path("/var/cache/swanherd-lab")

ADMIN_PASSWORD = "lab-admin"
SERVICE_PASSWORD = "lab-service"
USER_PASSWORD = "lab-user"
DATABASE_PASSWORD = "lab-db"
BUS_PASSWORD = "lab-bus"

# What serves a cloud's routers: OVN; OVN with floating IPs on the compute chassis; Neutron's own
# agents for Open vSwitch, where each router is legacy, HA or distributed for itself.
OVS = "ovs"
BACKENDS = ("ovn", "ovn-dvr", OVS)

# Neutron's releases that a cloud may run, by the number of its distribution.
NEWEST = 29
RELEASES = (24, 26, 27, NEWEST)
# Releases of neutron-vpnaas that a cloud may have in Swanherd's place (lab/predecessor.py), and
# the Neutron that each stands on: its own, if the lab has that one.
PREDECESSORS = {27: 27, 28: NEWEST, 29: NEWEST}

USER_BOX = "user"  # a person with a client; reaches the API of both clouds
INTERNET_BOX = "inet"  # everything between the clouds
FABRIC_BOX = "fabric"  # the switches inside the clouds, and the database server of both

WEB_HOST = "web"
WEB_ADDRESSES = ("192.0.2.80/24", "2001:db8:ff::80/64")
PUBLIC_CIDRS = {
    "a": ("198.51.100.0/24", "2001:db8:a::/64"),
    "b": ("203.0.113.0/24", "2001:db8:b::/64"),
}


class LabError(Exception):
    """The lab can't do what was asked; the sentence says why and where to look."""


@dataclasses.dataclass(frozen=True, slots=True)
class Chassis:
    """A box with Open vSwitch and what programs it: ovn-controller, or Neutron's own agents.

    A gateway has a wire to the public network, may host router gateways and runs the VPN agent;
    the central one of them also runs OVN's databases and the API services.
    """

    name: str
    gateway: bool
    public: bool
    number: int  # last octet of its addresses

    def management(self, cloud: int) -> str:
        """Return its address on the cloud's management network."""
        return f"10.99.{cloud}.{self.number}"

    def underlay(self, cloud: int) -> str:
        """Return its address on the cloud's underlay, on which Geneve or VXLAN runs."""
        return f"10.98.{cloud}.{self.number}"


@dataclasses.dataclass(frozen=True, slots=True)
class CloudPlan:
    """One cloud: its chassis and where its services answer."""

    name: str
    number: int
    chassis: tuple[Chassis, ...]
    backend: str = "ovn"
    release: int = NEWEST
    predecessor: int = 0  # the release of neutron-vpnaas that it has in Swanherd's place

    @property
    def venv(self) -> pathlib.Path:
        """The environment that Neutron's servers and all agents run from."""
        if not self.predecessor:
            return self.neutron
        on = "" if self.release == NEWEST else f"-on-{self.release}"
        return ENVIRONMENTS / f"vpnaas-{self.predecessor}{on}"

    @property
    def neutron(self) -> pathlib.Path:
        """The environment that Neutron's own programs are in: that of neutron-vpnaas sees it."""
        return VENV if self.release == NEWEST else ENVIRONMENTS / f"neutron-{self.release}"

    def program(self, name: str) -> tuple[str, ...]:
        """Return the command of one of Neutron's own programs, run from the environment."""
        python = (f"{self.venv}/bin/python",) if self.predecessor else ()
        return (*python, f"{self.neutron}/bin/{name}")

    @property
    def serves_in_one(self) -> bool:
        """Whether one eventlet program is API, RPC server and workers, as 2024.1 is mostly run."""
        return self.release <= 24

    @property
    def rpc_service(self) -> str:
        """The service that answers agents."""
        return "neutron-server" if self.serves_in_one else "neutron-rpc-server"

    @property
    def has_ovn(self) -> bool:
        """Whether OVN serves its routers, not Neutron's L3 agents."""
        return self.backend != OVS

    @property
    def distributed(self) -> bool:
        """Whether floating IPs are handled on the compute chassis too."""
        return self.backend != "ovn"

    @property
    def central(self) -> Chassis:
        """The chassis with the databases and the API."""
        return self.chassis[0]

    @property
    def gateways(self) -> tuple[Chassis, ...]:
        """The chassis that may host router gateways."""
        return tuple(c for c in self.chassis if c.gateway)

    @property
    def computes(self) -> tuple[Chassis, ...]:
        """The chassis that host workloads."""
        return tuple(c for c in self.chassis if not c.gateway)

    @property
    def api_address(self) -> str:
        """Where Keystone (5000), Neutron (9696), RabbitMQ (5672) and OVN (6641, 6642) answer."""
        return self.central.management(self.number)

    @property
    def public_bridge(self) -> str:
        """The bridge in the internet box that is this cloud's public network."""
        return f"pub-{self.name}"


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """The parameters of a lab."""

    gateways: int = 1
    computes: int = 1
    backend_a: str = "ovn"
    backend_b: str = "ovn"
    release_a: int = NEWEST
    release_b: int = NEWEST
    predecessor_a: int = 0
    predecessor_b: int = 0
    swanherd: bool = True
    neutron_user: bool = False  # L3 agents aren't root (lab/neutron_user.py)
    debug: bool = False

    def cloud(self, name: str) -> CloudPlan:
        """Return the plan of cloud a or b."""
        number, backend, release, predecessor = {
            "a": (1, self.backend_a, self.release_a, self.predecessor_a),
            "b": (2, self.backend_b, self.release_b, self.predecessor_b),
        }[name]
        if backend not in BACKENDS:
            raise LabError(f"no backend {backend}; there are {', '.join(BACKENDS)}")
        if release not in RELEASES:
            raise LabError(f"no Neutron {release}; there are {', '.join(map(str, RELEASES))}")
        if predecessor:
            # What nobody asked for is the newest.
            stands_on = PREDECESSORS.get(predecessor)
            if stands_on is None or release not in (NEWEST, stands_on):
                raise LabError(f"no neutron-vpnaas {predecessor} on Neutron {release} here")
            release = stands_on
        # What handles floating IPs on a compute chassis needs the public wire there.
        public = backend != "ovn"
        first = [Chassis(f"{name}-gw", gateway=True, public=True, number=2)]
        more = [
            Chassis(f"{name}-gw{n}", gateway=True, public=True, number=1 + n)
            for n in range(2, self.gateways + 1)
        ]
        computes = [
            Chassis(f"{name}-cmp{n if n > 1 else ''}", gateway=False, public=public, number=19 + n)
            for n in range(1, self.computes + 1)
        ]
        return CloudPlan(name, number, (*first, *more, *computes), backend, release, predecessor)


@dataclasses.dataclass(frozen=True, slots=True)
class Lab:
    """A lab of a name; labs of different names don't see each other."""

    name: str
    shape: Shape = Shape()

    @classmethod
    def named(cls, environment: Mapping[str, str] = os.environ) -> Lab:
        """Return the lab that SWANHERD_LAB names (default `lab`), in the shape that is up."""
        name = environment.get("SWANHERD_LAB", "lab")
        # "machine" names the lock that all labs share.
        if not (name.isascii() and name.isalnum() and len(name) <= 20) or name == "machine":
            raise LabError(f"SWANHERD_LAB={name!r}: give up to 20 letters and digits")
        lab = cls(name)
        try:
            shape: dict[str, Any] = json.loads(lab.shape_file.read_text())
        except FileNotFoundError:
            return lab
        return cls(name, Shape(**shape))

    @property
    def state(self) -> pathlib.Path:
        """Everything that the lab writes, except caches."""
        return STATE / self.name

    @property
    def shape_file(self) -> pathlib.Path:
        """Where the shape of a running lab is kept."""
        return self.state / "shape.json"

    @property
    def clouds_yaml(self) -> pathlib.Path:
        """The client configuration with the entries a, b, admin-a, admin-b, other-a, other-b."""
        return self.state / "clouds.yaml"

    @property
    def database_socket(self) -> pathlib.Path:
        """MariaDB's socket."""
        return self.state / "mysql.sock"

    def unfinished(self, kind: str) -> pathlib.Path:
        """Return where a new entry of the cache is written before it gets its name."""
        return CACHE / f"new-{self.name}-{kind}"

    @property
    def clouds(self) -> tuple[CloudPlan, CloudPlan]:
        """Both clouds' plans."""
        return self.shape.cloud("a"), self.shape.cloud("b")

    @property
    def box_names(self) -> tuple[str, ...]:
        """All boxes."""
        chassis = (c.name for cloud in self.clouds for c in cloud.chassis)
        return FABRIC_BOX, INTERNET_BOX, USER_BOX, *chassis

    def directory(self, *parts: str) -> pathlib.Path:
        """Return a directory of the state, made if it isn't there."""
        path = self.state.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def log(self, box: str, service: str) -> pathlib.Path:
        """Return a service's log file."""
        return self.directory("logs", box) / f"{service}.log"


def gateway_of(cidr: str) -> str:
    """Return the first host address of a network, where its router answers."""
    return str(ipaddress.ip_network(cidr)[1])


def interface_of(cidr: str) -> str:
    """Return the first host address of a network with its prefix length."""
    network = ipaddress.ip_network(cidr)
    return f"{network[1]}/{network.prefixlen}"
