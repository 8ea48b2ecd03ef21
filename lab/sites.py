"""What a cloud's users have before a VPN: the public network, a router with subnets, workloads."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
from collections.abc import Sequence
from typing import Any

from lab import wires
from lab.boxes import Box
from lab.cloud import Cloud
from lab.layout import PUBLIC_CIDRS, LabError, gateway_of
from lab.processes import wait_for

DEVICE_OWNERS_OF_WORKLOADS = "compute:nova"
# A router of Neutron's L3 agents: on one node; on several, one of them active; on each node that
# has workloads, with a central part on a gateway, or on several. Without a kind: as the cloud's
# default says.
KINDS = {
    "": {},
    "legacy": {"distributed": False, "ha": False},
    "ha": {"distributed": False, "ha": True},
    "dvr": {"distributed": True, "ha": False},
    "dvr-ha": {"distributed": True, "ha": True},
}
# What a router's ports on a site's network are called; the others of DVR go with these.
_INTERFACES = ("network:router_interface", "network:ha_router_replicated_interface")


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """A network of one project with its subnets behind a router. `subnets`: CIDR to id."""

    name: str
    network_id: str
    subnets: dict[str, str]
    router_id: str
    security_group_id: str
    mtu: int
    router_addresses: tuple[str, ...]  # the router's own addresses on the public network
    kind: str = ""


def make_public(cloud: Cloud, cidrs: Sequence[str] | None = None, name: str = "public") -> str:
    """As admin, make the public network if there is none, and return its id.

    Without cidrs it has one IPv4 and one IPv6 prefix that the internet routes.
    """
    network = cloud.connect("admin").network
    if found := network.find_network(name):
        return str(found.id)
    wanted = PUBLIC_CIDRS[cloud.name] if cidrs is None else tuple(cidrs)
    wires.add_public_cidrs(cloud.lab, cloud.plan, wanted)
    made = network.create_network(
        name=name,
        is_router_external=True,
        provider_network_type="flat",
        provider_physical_network="public",
    )
    for cidr in wanted:
        pool = ipaddress.ip_network(cidr)
        network.create_subnet(
            network_id=made.id,
            name=f"{name}-{cidr}",
            ip_version=pool.version,
            cidr=cidr,
            gateway_ip=gateway_of(cidr),
            is_dhcp_enabled=False,
            # .2 … .9 stay free for devices that a test puts on the wire itself.
            allocation_pools=[
                {"start": str(pool[10]), "end": str(pool[min(250, pool.num_addresses - 2)])}
            ],
        )
    return str(made.id)


def make_site(
    cloud: Cloud,
    client: Any,
    name: str,
    cidrs: Sequence[str],
    public: str | None = "public",
    *,
    kind: str = "",
) -> Site:
    """As an ordinary user, make a network with subnets, a router and an open security group.

    The router's gateway is on the network `public`; with None it has none. A router of a certain
    kind is made by the admin for the user: Neutron lets nobody else choose.
    """
    network = client.network
    made = network.create_network(name=name)
    gateway: dict[str, Any] = {}
    if public is not None:
        outside = network.find_network(public, ignore_missing=False)
        gateway = {"external_gateway_info": {"network_id": outside.id}}
    if kind:
        owner = {"project_id": client.current_project_id, **KINDS[kind]}
        router = cloud.connect("admin").network.create_router(name=name, **gateway, **owner)
    else:
        router = network.create_router(name=name, **gateway)
    group = network.create_security_group(name=name)
    for family in ("IPv4", "IPv6"):
        network.create_security_group_rule(
            security_group_id=group.id, direction="ingress", ether_type=family
        )
    fixed = (router.external_gateway_info or {}).get("external_fixed_ips", [])
    site = Site(
        name=name,
        network_id=made.id,
        subnets={},
        router_id=router.id,
        security_group_id=group.id,
        mtu=made.mtu,
        router_addresses=tuple(f["ip_address"] for f in fixed),
        kind=kind,
    )
    for cidr in cidrs:
        add_subnet(client, site, cidr)
    return site


def add_subnet(client: Any, site: Site, cidr: str, attached: bool = True) -> str:
    """Add a subnet to a site, on the router unless `attached` is False; return its id."""
    network = client.network
    version = ipaddress.ip_network(cidr).version
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"} if version == 6 else {}
    made = network.create_subnet(
        network_id=site.network_id,
        name=f"{site.name}-{cidr}",
        ip_version=version,
        cidr=cidr,
        # Neutron's default for IPv6 is the subnet-router anycast address: OVN doesn't answer it.
        gateway_ip=gateway_of(cidr),
        **modes,
    )
    if attached:
        network.add_interface_to_router(site.router_id, subnet_id=made.id)
    site.subnets[cidr] = made.id
    return str(made.id)


def remove_site(client: Any, site: Site) -> None:
    """Remove what `make_site` made; workloads are removed before (`Workload.remove`)."""
    network = client.network
    for floating in network.ips(router_id=site.router_id):
        network.delete_ip(floating)
    for port in list(network.ports(network_id=site.network_id)):
        if port.device_owner.startswith(_INTERFACES):
            for fixed in port.fixed_ips:
                with contextlib.suppress(_gone()):
                    network.remove_interface_from_router(
                        site.router_id, subnet_id=fixed["subnet_id"]
                    )
        elif not port.device_owner.startswith("network:"):  # those go with the network
            network.delete_port(port)
    network.delete_router(site.router_id)
    network.delete_network(site.network_id)
    network.delete_security_group(site.security_group_id)


def _gone() -> type[Exception]:
    from openstack import exceptions

    missing: type[Exception] = exceptions.NotFoundException
    return missing


@dataclasses.dataclass(frozen=True, slots=True)
class Workload:
    """A namespace on a chassis that stands for a VM: bound to a Neutron port by its id."""

    cloud: Cloud
    box: Box
    name: str  # the namespace
    port_id: str
    addresses: tuple[str, ...]

    @property
    def ipv4(self) -> str:
        """Its IPv4 address."""
        return self._address(4)

    @property
    def ipv6(self) -> str:
        """Its IPv6 address."""
        return self._address(6)

    def _address(self, version: int) -> str:
        for address in self.addresses:
            if ipaddress.ip_address(address).version == version:
                return address
        raise LabError(f"workload {self.name} has no IPv{version} address")

    def run(self, argv: Sequence[str], *, timeout: float = 60, check: bool = True) -> str:
        """Run a program in the workload and return its output."""
        return self.box.run(argv, self.name, timeout=timeout, check=check).stdout

    def pings(self, address: str, count: int = 1, wait: float = 1) -> bool:
        """Whether at least one of some pings, each waiting this long (seconds), is answered."""
        argv = ["ping", "-n", "-q", "-c", str(count), "-i", "0.2", "-W", str(wait), address]
        return not self.box.run(argv, self.name, check=False, timeout=60).returncode

    def wait_for_ping(self, address: str, limit: float = 30) -> None:
        """Wait until an address answers; LabError after the limit (seconds) tells what is seen."""
        what = f"{self.box.name}/{self.name} pings {address}"
        try:
            wait_for(lambda: self.pings(address), limit, what, every=0.05)
        except LabError as problem:
            seen = [
                self.run(argv, check=False)
                for argv in (
                    ["ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", address],
                    ["ip", "route", "get", address],
                    ["ip", "neighbour"],
                )
            ]
            raise LabError("\n".join((str(problem), *seen))) from None

    def remove(self) -> None:
        """Remove the namespace, its port of br-int and, as Nova would, the Neutron port."""
        self.box.run(["ovs-vsctl", "--if-exists", "del-port", "br-int", _tap(self.port_id)])
        self.box.run(["ip", "netns", "delete", self.name])
        # Neutron's policies forbid users to delete a port while a compute service has it.
        self.cloud.connect("admin").network.delete_port(self.port_id)


def boot(
    cloud: Cloud,
    client: Any,
    site: Site,
    name: str,
    *,
    subnets: Sequence[str] | None = None,
    chassis: Box | None = None,
) -> Workload:
    """Start a workload: a port made by the user, bound by the admin (as Nova would), plugged.

    `subnets`: CIDRs of the site to have an address of (default: all); `chassis`: where (default:
    the first compute). Returns when Neutron shows the port ACTIVE.
    """
    box = chassis or cloud.computes[0]
    ids = [site.subnets[c] for c in (subnets if subnets is not None else site.subnets)]
    port = client.network.create_port(
        network_id=site.network_id,
        name=name,
        security_groups=[site.security_group_id],
        fixed_ips=[{"subnet_id": i} for i in ids],
    )
    admin = cloud.connect("admin").network
    admin.update_port(
        port.id, binding_host_id=box.name, device_owner=DEVICE_OWNERS_OF_WORKLOADS, device_id=name
    )
    nets = {s.id: s for s in client.network.subnets(network_id=site.network_id)}
    plug(box, name, port, nets, site.mtu)
    wait_for(
        lambda: admin.get_port(port.id).status == "ACTIVE", 30, f"port of {name} ACTIVE", every=0.2
    )
    addresses = tuple(f["ip_address"] for f in port.fixed_ips)
    return Workload(cloud, box, name, port.id, addresses)


def _tap(port_id: str) -> str:
    return f"tap{port_id[:11]}"


def plug(box: Box, name: str, port: Any, nets: dict[str, Any], mtu: int) -> None:
    """Make a namespace and plug it into br-int as a port; `nets`: its subnets by their ids."""
    tap = _tap(port.id)
    box.run(["ip", "netns", "add", name])
    box.ip(
        f"link add {tap} mtu {mtu} type veth peer name eth0 netns {name}",
        f"link set {tap} up",
    )
    commands = ["link set lo up", f"link set eth0 address {port.mac_address} mtu {mtu}"]
    commands += ["link set eth0 up"]
    for fixed in port.fixed_ips:
        net = nets[fixed["subnet_id"]]
        length = ipaddress.ip_network(net.cidr).prefixlen
        nodad = " nodad" if net.ip_version == 6 else ""
        commands.append(f"address add {fixed['ip_address']}/{length} dev eth0{nodad}")
    families = {nets[f["subnet_id"]].ip_version: nets[f["subnet_id"]] for f in port.fixed_ips}
    commands += [f"route add default via {net.gateway_ip}" for net in families.values()]
    # The userspace datapath passes checksums on as they are; router advertisements would add
    # addresses beside the port's own.
    box.run(["ethtool", "-K", "eth0", "tx", "off"], name)
    box.run(["ethtool", "-K", tap, "tx", "off"])
    box.run(["sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=0"], name)
    box.ip(*commands, netns=name)
    external = {"iface-id": port.id, "attached-mac": port.mac_address, "iface-status": "active"}
    box.run(
        [
            *("ovs-vsctl", "--may-exist", "add-port", "br-int", tap, "--", "set"),
            *("Interface", tap, *(f'external_ids:{k}="{v}"' for k, v in external.items())),
        ]
    )
