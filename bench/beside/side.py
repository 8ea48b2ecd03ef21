"""One of the two: a cloud with a router and its VPN service, and what they really have."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Iterable
from typing import Any

from bench.beside.peer import Far, Peer
from lab import daemon, neutron, predecessor, services
from lab.boxes import Box
from lab.cloud import Cloud
from lab.ovs import L3_AGENT
from lab.processes import processes
from lab.sites import Workload, boot, make_site
from lab.vpn import STRONG, show

TICK = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A connection, and the peer's site that it is to."""

    id: str
    far: Far


@dataclasses.dataclass(slots=True)
class Side:
    """A cloud's router with a VPN service of one subnet, and the peer that it has tunnels to."""

    title: str
    cloud: Cloud
    client: Any
    router: str
    workload: Workload
    service: Any
    policies: dict[str, str]
    peer: Peer
    cases: list[Case] = dataclasses.field(default_factory=list)

    def sites(self, numbers: Iterable[int]) -> list[Far]:
        """Let the peer have these sites, not loaded yet."""
        return [self.peer.site(n) for n in numbers]

    @property
    def box(self) -> Box:
        """The gateway's box."""
        return self.cloud.central

    @property
    def is_ours(self) -> bool:
        """Whether it's Swanherd."""
        return not self.cloud.plan.predecessor

    @property
    def agent(self) -> str:
        """The agent's service."""
        if not self.cloud.plan.has_ovn:
            return L3_AGENT
        return neutron.AGENT if self.is_ours else predecessor.AGENT

    @property
    def sockets(self) -> pathlib.Path:
        """Where the socket of the router's charon is."""
        if not self.is_ours:
            return predecessor.run_directory(self.box, self.router)
        name = self.router if self.cloud.plan.has_ovn else f"qrouter-{self.router}"
        return pathlib.Path(f"/proc/{self.box.init().pid}/root/var/lib/swanherd/routers/{name}")

    # The API

    def connect(self, far: Far, **more: Any) -> Case:
        """Make a connection to a site of the peer."""
        made = self.client.network.create_vpn_ipsec_site_connection(
            **{
                "name": far.name,
                "vpnservice_id": self.service.id,
                "peer_address": far.address,
                "peer_id": far.identity,
                "peer_cidrs": list(far.networks),
                "psk": far.psk,
                "dpd": {"action": "restart", "interval": 300, "timeout": 900},
                **self.policies,
                **more,
            }
        )
        case = Case(made.id, far)
        self.cases.append(case)
        return case

    def policy(self, kind: str, **more: Any) -> str:
        """Make a policy of a kind (`ike`, `ipsec`) and return its id."""
        make = getattr(self.client.network, f"create_vpn_{kind}_policy")
        version = {"ike_version": "v2"} if kind == "ike" else {}
        return str(make(name=kind, **{**version, **STRONG, **more}).id)

    def update(self, case: Case, **attributes: Any) -> None:
        """PUT attributes of a connection."""
        self.client.network.update_vpn_ipsec_site_connection(case.id, **attributes)

    def statuses(self) -> dict[str, str]:
        """Return all connections' statuses as the API tells them."""
        listed = self.client.network.vpn_ipsec_site_connections()
        return {c.id: c.status for c in listed}

    def status(self, case: Case) -> str:
        """Return one connection's status."""
        return str(show(self.client, "ipsec-site-connections", case.id)["status"])

    # What is

    def up(self) -> dict[str, list[dict[str, Any]]]:
        """Return the IKE SAs that have a child SA installed, by connection.

        What each of the two calls its configurations is its own: the site's network tells.
        """
        found: dict[str, list[dict[str, Any]]] = {}
        for sa in daemon.ike_sas(self.sockets):
            children = sa.get("child-sas", {}).values()
            installed = [c for c in children if c["state"] == "INSTALLED"]
            if sa["state"] == "ESTABLISHED":
                for connection in self._whose(installed):
                    found.setdefault(connection, []).append({**sa, "children": installed})
        return found

    def loaded(self) -> set[str]:
        """Return the connections that charon has a configuration of."""
        listed = daemon.configurations(self.sockets)
        return {key for c in listed for key in self._whose(c["children"].values())}

    def _whose(self, children: Iterable[dict[str, Any]]) -> set[str]:
        by_network = {case.far.networks[0]: case.id for case in self.cases}
        seen = {network for child in children for network in child.get("remote-ts", [])}
        return {by_network[network] for network in seen & by_network.keys()}

    def written(self) -> str:
        """Return what stands for the configuration that charon was given."""
        if self.is_ours:
            return " ".join(sorted(c["name"] for c in daemon.configurations(self.sockets)))
        read = predecessor.file
        return "".join(read(self.box, self.router, n) for n in ("ipsec.conf", "ipsec.secrets"))

    def agent_cpu(self) -> float:
        """Return the seconds of CPU of the agent and of all that it runs, but charon."""
        space, total = os.readlink(f"/proc/{self.box.init().pid}/ns/pid"), 0
        for process in processes():
            try:
                if os.readlink(f"/proc/{process.pid}/ns/pid") != space:
                    continue
                told = " ".join(process.argv)
                stat = pathlib.Path(f"/proc/{process.pid}/stat").read_text()
            except OSError:
                continue
            if self.agent in told or "privsep" in told or "neutron-vpn-netns-wrapper" in told:
                # Its own, and that of its children that have ended.
                total += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
        return total / TICK

    def settle(self, limit: float) -> bool:
        """Wait until the agent has worked off what came before; False if it hasn't by then."""
        deadline, before = time.monotonic() + limit, self.agent_cpu()
        while time.monotonic() < deadline:
            time.sleep(3)  # a time in which it does next to nothing is what is waited for
            now = self.agent_cpu()
            if now - before < 0.15:
                return True
            before = now
        return False

    def restart_agent(self) -> None:
        """Stop the agent as a service manager does, and start it again."""
        services.restart(self.box, self.agent)


def make_side(title: str, cloud: Cloud, number: int) -> Side:
    """Make a router with a workload and a VPN service, and its peer."""
    client = cloud.connect()
    cidr = f"10.{number}.0.0/24"
    site = make_site(cloud, client, f"beside-{cloud.name}", [cidr])
    workload = boot(cloud, client, site, "beside")
    service = client.network.create_vpn_service(
        name="beside", router_id=site.router_id, subnet_id=site.subnets[cidr]
    )
    peer = Peer(cloud.lab, number, service.external_v4_ip, cidr)
    peer.start()
    side = Side(title, cloud, client, site.router_id, workload, service, {}, peer)
    side.policies = {
        "ikepolicy_id": side.policy("ike"),
        "ipsecpolicy_id": side.policy("ipsec"),
    }
    return side


def seconds_until(
    condition: Callable[[], object], began: float, limit: float, every: float = 0.1
) -> float | None:
    """Return how long after `began` (monotonic) something was so; None if not within the limit."""
    while True:
        if condition():
            return time.monotonic() - began
        if time.monotonic() > began + limit:
            return None
        time.sleep(every)
