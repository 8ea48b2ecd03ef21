"""A VPN as a cloud's user makes it through the SDK, and what is left of it on nodes."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import json
from collections.abc import Sequence
from typing import Any

from lab import services
from lab.boxes import Box
from lab.cloud import Cloud
from lab.layout import LabError
from lab.neutron import AGENT
from lab.ovs import L3_AGENT, met
from lab.processes import wait_for
from lab.sites import Site

_TABLES = (
    "Logical_Switch",
    "Logical_Switch_Port",
    "Logical_Router_Port",
    "Logical_Router_Policy",
)
_ROUTERS = ("qrouter-", "snat-")  # namespaces of Neutron's L3 agent
# Seconds to wait for the API's answer to a question.
ANSWER = 10
STRONG = {
    "auth_algorithm": "sha256",
    "encryption_algorithm": "aes-256",
    "pfs": "group19",
}


@dataclasses.dataclass(slots=True)
class End:
    """One end of a tunnel: a site's vpnservice and policies. Make it with `make_end`."""

    cloud: Cloud
    client: Any
    site: Site
    service: Any
    ike: Any
    ipsec: Any
    made: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def address(self, version: int) -> str:
        """The public address of the gateway's family."""
        field = f"external_v{version}_ip"
        value = getattr(self.service, field)
        if not value:
            raise LabError(f"{self.site.name}: the vpnservice has no {field}")
        return str(value)

    def connection(self, connection_id: str) -> Any:
        """Return the connection as the API shows it now, as a dict."""
        return show(self.client, "ipsec-site-connections", connection_id)

    def refresh(self) -> Any:
        """Read the vpnservice again and return it."""
        self.service = self.client.network.get_vpn_service(self.service.id)
        return self.service


def show(client: Any, plural: str, resource_id: str) -> dict[str, Any]:
    """Return one VPN resource with every attribute, also those that the SDK doesn't know."""
    # A call to a host without power is asked again ever more rarely by TCP, half a minute apart.
    reply = client.network.get(f"/vpn/{plural}/{resource_id}", timeout=ANSWER)
    if reply.status_code != 200:
        raise LabError(f"GET {plural}/{resource_id}: {reply.status_code} {reply.text}")
    (body,) = reply.json().values()
    shown: dict[str, Any] = body
    return shown


def make_end(
    cloud: Cloud,
    client: Any,
    site: Site,
    *,
    ike: dict[str, Any] | None = None,
    ipsec: dict[str, Any] | None = None,
) -> End:
    """Make the policies and the vpnservice of one end."""
    network = client.network
    ike_policy = network.create_vpn_ike_policy(
        **({"name": site.name, "ike_version": "v2"} | STRONG | (ike or {}))
    )
    ipsec_policy = network.create_vpn_ipsec_policy(
        **({"name": site.name} | STRONG | (ipsec or {}))
    )
    service = network.create_vpn_service(name=site.name, router_id=site.router_id)
    return End(cloud, client, site, service, ike_policy, ipsec_policy)


def connect(
    end: End,
    peer: str,
    local: Sequence[str],
    remote: Sequence[str],
    **attributes: Any,
) -> str:
    """Make a connection from local CIDRs of the site to remote CIDRs; return its id."""
    network = end.client.network
    name = f"{end.site.name}-{len(end.made)}"
    here = network.create_vpn_endpoint_group(
        name=f"{name}-local", type="subnet", endpoints=[end.site.subnets[c] for c in local]
    )
    there = network.create_vpn_endpoint_group(
        name=f"{name}-peer", type="cidr", endpoints=list(remote)
    )
    made = network.create_vpn_ipsec_site_connection(
        **{
            "name": name,
            "vpnservice_id": end.service.id,
            "ikepolicy_id": end.ike.id,
            "ipsecpolicy_id": end.ipsec.id,
            "local_ep_group_id": here.id,
            "peer_ep_group_id": there.id,
            "peer_address": peer,
            "peer_id": peer,
            "psk": "the lab's own key",
            **attributes,
        }
    )
    end.made += [("connection", made.id), ("group", here.id), ("group", there.id)]
    return str(made.id)


def join(one: End, other: End, outer: int, inner: int, **attributes: Any) -> tuple[str, str]:
    """Join all subnets of the inner family of two ends over the outer family; both ids."""

    def of_family(end: End) -> list[str]:
        return [c for c in end.site.subnets if ipaddress.ip_network(c).version == inner]

    here, there = of_family(one), of_family(other)
    return (
        connect(one, other.address(outer), here, there, **attributes),
        connect(other, one.address(outer), there, here, **attributes),
    )


def wait_status(end: End, connection_id: str, status: str, limit: float = 30) -> Any:
    """Wait until the connection has a status and return it; LabError tells what it had."""
    seen: dict[str, Any] = {}

    def reached() -> bool:
        seen.update(end.connection(connection_id))
        return bool(seen["status"] == status)

    try:
        wait_for(reached, limit, "", every=0.05)
    except LabError:
        cause = {k: v for k, v in seen.items() if k.startswith("status")}
        raise LabError(f"{end.site.name}: connection isn't {status} but {cause}") from None
    return seen


def remove_end(end: End) -> None:
    """Delete what `make_end` and `connect` made, in the order that the API wants."""
    network = end.client.network
    order = sorted(end.made, key=lambda made: made[0])  # connections before groups
    for kind, resource_id in order:
        delete = {
            "connection": network.delete_vpn_ipsec_site_connection,
            "group": network.delete_vpn_endpoint_group,
        }[kind]
        delete(resource_id)
    end.made.clear()
    network.delete_vpn_service(end.service.id)
    network.delete_vpn_ike_policy(end.ike.id)
    network.delete_vpn_ipsec_policy(end.ipsec.id)


def leftovers(cloud: Cloud) -> list[str]:
    """Return everything of Swanherd that is still on the cloud's nodes, in OVN and in Neutron."""
    found: list[str] = []
    for box in (*cloud.gateways, *cloud.computes):
        names = box.run(["ip", "netns", "list"]).stdout.split("\n")
        found += [f"{box.name}: namespace {n}" for n in names if n.startswith("qvpn-")]
        found += _rules(box, [n.split()[0] for n in names if n.startswith(_ROUTERS)])
        listing = box.run(["pgrep", "-a", "charon"], check=False).stdout.splitlines()
        found += [f"{box.name}: process {line}" for line in listing]
        ports = box.run(
            ["ovs-vsctl", "--bare", "--columns=name,external_ids", "list", "Interface"]
        ).stdout
        found += [f"{box.name}: port {p}" for p in ports.splitlines() if "swanherd" in p]
        with contextlib.suppress(LabError):
            files = box.run(["find", "/var/lib/swanherd/routers", "-mindepth", "1"]).stdout
            found += [f"{box.name}: file {line}" for line in files.splitlines()]
    if cloud.plan.has_ovn:
        for table in _TABLES:
            found += _rows(cloud, table)
    admin = cloud.connect("admin").network
    ports_ = admin.ports(device_owner="network:vpn_router_gateway")
    found += [f"Neutron port {port.id}" for port in ports_]
    return found


def _rules(box: Box, routers: Sequence[str]) -> list[str]:
    """Return what is ours of the firewall and the routing rules in routers' own namespaces."""
    found = []
    for name in routers:
        tables = box.run(["nft", "list", "tables"], name, check=False).stdout.splitlines()
        found += [f"{box.name}: {name}: {t}" for t in tables if "swanherd" in t]
        for family in ("-4", "-6"):
            listed = box.run(["ip", "-N", "-d", family, "rule", "list"], name, check=False)
            rules = (r for r in listed.stdout.splitlines() if "proto 90" in r)  # all are listed
            found += [f"{box.name}: {name}: rule {r}" for r in rules]
    return found


def _rows(cloud: Cloud, table: str) -> list[str]:
    listing = cloud.nbctl("--bare", "--columns=_uuid,external_ids", "list", table)
    return [f"{table} {line}" for line in listing.splitlines() if "swanherd" in line]


def views(
    end: End, command: str = "show", nodes: Sequence[Box] | None = None
) -> dict[str, dict[str, Any]]:
    """Return what swanherdctl tells of the end's router, by (of these) gateway node with it."""
    found: dict[str, dict[str, Any]] = {}
    for box in end.cloud.gateways if nodes is None else nodes:
        argv = ["swanherdctl", "--json", command, end.site.router_id]
        done = box.run(argv, check=False)
        if done.returncode == 0 and (view := json.loads(done.stdout))["placed_here"]:
            found[box.name] = view
    return found


def roles(end: End, nodes: Sequence[Box] | None = None) -> dict[str, str]:
    """Return the role of each gateway node (of these) that has the end's router."""
    return _roles(views(end, "show", nodes))


def _roles(shown: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: view["desired"]["role"] for name, view in shown.items()}


def agent_view(end: End, command: str = "show") -> dict[str, Any]:
    """Return what swanherdctl tells of the end's router on the gateway node that serves it."""
    found = views(end, command)
    # One question tells both: on a busy machine each takes seconds, and who waits for all to be
    # well counts them.
    known = _roles(found) if command == "show" else roles(end)
    serving = next((name for name, role in known.items() if role == "active"), "none")
    if serving not in found:
        raise LabError(f"no agent of cloud {end.cloud.name} serves router {end.site.router_id}")
    return found[serving]


def doctor(end: End, asked: str) -> dict[str, Any]:
    """Return what `swanherdctl doctor` finds on the gateway node that serves the end's router.

    If none does, on one that has it.
    """
    known = roles(end)
    for box in sorted(end.cloud.gateways, key=lambda box: known.get(box.name) != "active"):
        if box.name in known:
            told = box.run(["swanherdctl", "doctor", "--json", asked], check=False).stdout
            found: dict[str, Any] = json.loads(told)
            return found
    raise LabError(f"no agent of cloud {end.cloud.name} has router {end.site.router_id}")


def namespace_of(end: End) -> str:
    """Return the name of the namespace in which the router's charon runs, on a gateway node."""
    if end.cloud.plan.has_ovn:
        return f"qvpn-{end.site.router_id}"
    return f"{'snat' if end.site.kind.startswith('dvr') else 'qrouter'}-{end.site.router_id}"


def charons(end: End) -> list[tuple[Box, int]]:
    """Return the daemons of the end's router: the box and the process id in it."""
    found = []
    for box in end.cloud.gateways:
        listed = box.run(["ip", "netns", "pids", namespace_of(end)], check=False).stdout.split()
        for pid in listed:
            name = box.run(["cat", f"/proc/{pid}/comm"], check=False).stdout
            found += [(box, int(pid))] if name.startswith("charon") else []
    return found


def agent_of(end: End) -> str:
    """Return the service whose process has the VPN agent on the end's gateways."""
    return AGENT if end.cloud.plan.has_ovn else L3_AGENT


def serving(end: End) -> Box:
    """Return the gateway node that serves the router; LabError if there is none.

    A redundant router has a daemon that stands by on each of the others.
    """
    found = [box for box, _ in charons(end)]
    if len(found) > 1:
        known = roles(end)
        found = [box for box in found if known.get(box.name) == "active"]
    if len(found) != 1:
        raise LabError(f"{end.site.name}: {len(found)} nodes serve {namespace_of(end)}")
    return found[0]


def is_met(end: End, box: Box) -> bool:
    """Tell whether the L3 agent that runs on a node is done with its first turn for the router.

    In that turn Neutron takes IPv6 from a redundant one (`HaRouterNamespace.create`). True of OVN.
    """
    if end.cloud.plan.has_ovn:
        return True
    log = box.lab.log(box.name, L3_AGENT).read_text(errors="replace")
    return met(log, services.find(box, L3_AGENT).main.inner, end.site.router_id)


def kill_charons(end: End) -> None:
    """End the daemons of the end's router at once; LabError if there is none."""
    listed = charons(end)
    if not listed:
        raise LabError(f"{end.site.name}: no charon in {namespace_of(end)}")
    for box, pid in listed:
        box.run(["kill", "-9", str(pid)], check=False)


def youngest(end: End) -> int:
    """Return for how many seconds each SA of the end's router has been up at least."""
    charon = agent_view(end)["observed"]["charon"]
    children = [child for sa in charon["ike_sas"] for child in sa["children"]]
    ages = [sa["age"] for sa in charon["ike_sas"]]
    return min((*ages, *(child["details"]["installed"] for child in children)), default=0)


def child_sas(end: End) -> set[tuple[str, int]]:
    """Return the live child SAs of the end: child's name and unique id."""
    charon = agent_view(end)["observed"]["charon"]
    return {
        (child["name"], child["unique_id"])
        for sa in charon["ike_sas"]
        for child in sa["children"]
        if child["state"] == "INSTALLED"
    }
