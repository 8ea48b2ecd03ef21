"""Several routers of one side, each with a VPN service and one connection."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from bench.beside.peer import Far, Peer
from bench.beside.side import Case, Side
from lab.sites import make_site


class Routers:
    """What `bring_up` asks of a side, of routers that are made beside the side's own.

    The services are there before it begins, as the side's own is.
    """

    def __init__(self, side: Side, count: int):
        self._side = side
        project = side.client.current_project_id
        # Neutron's defaults are ten of each.
        boundless = {"router": -1, "security_group": -1}
        side.cloud.connect("admin").network.update_quota(project, **boundless)
        self._routers = [_beside(side, number) for number in range(count)]
        self._free = iter(self._routers)

    @property
    def peer(self) -> Peer:
        """Whom all have their tunnels to."""
        return self._side.peer

    def sites(self, numbers: Iterable[int]) -> list[Far]:
        """Let the peer have a site for each router, not loaded yet."""
        return [
            self.peer.site(n, gateway=router.service.external_v4_ip, there=there)
            for n, (router, there) in zip(numbers, self._routers, strict=True)
        ]

    def connect(self, far: Far, **more: Any) -> Case:
        """Make the next router's connection."""
        router, _ = next(self._free)
        return router.connect(far, **more)

    def up(self) -> dict[str, list[dict[str, Any]]]:
        """Return the IKE SAs that have a child SA installed, by connection."""
        return {key: sas for router, _ in self._routers for key, sas in router.up().items()}

    def loaded(self) -> set[str]:
        """Return the connections that their charons have a configuration of."""
        return {key for router, _ in self._routers for key in router.loaded()}

    def statuses(self) -> dict[str, str]:
        """Return all connections' statuses as the API tells them."""
        return self._side.statuses()

    def agent_cpu(self) -> float:
        """Return the seconds of CPU of the agent and of all that it runs, but charon."""
        return self._side.agent_cpu()

    def restart_agent(self) -> None:
        """Stop the agent as a service manager does, and start it again."""
        self._side.restart_agent()


def _beside(side: Side, number: int) -> tuple[Side, str]:
    """Make a router with a VPN service, and return it with its network."""
    cidr = f"10.{10 + side.peer.number}.{number}.0/24"
    made = make_site(side.cloud, side.client, f"beside-{side.cloud.name}-{number}", [cidr])
    service = side.client.network.create_vpn_service(
        name=made.name, router_id=made.router_id, subnet_id=made.subnets[cidr]
    )
    router = dataclasses.replace(side, router=made.router_id, service=service, cases=[])
    return router, cidr
