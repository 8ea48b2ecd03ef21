"""Which routers of OVN a look may change: all are compared, in as many queries as one.

What OVN's databases say is read from their replicas, a router at a time: it takes less than a
millisecond, and nobody waits for the replica.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from neutron.common.ovn import utils as ovn_utils
from oslo_log import log as logging

from swanherd.core.failures import Failure
from swanherd.core.model import Reason, RouterId
from swanherd.core.placement import Agents, Placement
from swanherd.ovn import northbound
from swanherd.ovn.database import AWAY
from swanherd.ovn.northbound import Outcome
from swanherd.server import ovn_wanted, predecessor, topology
from swanherd.server.backend import Addresses, RouterRow, RouterStore, RouterTraffic
from swanherd.server.public_port import PublicPorts, is_bound
from swanherd.server.topology import BoundPort, Router

LOG = logging.getLogger(__name__)


def unsettled(
    context: Any, rows: Sequence[RouterRow], store: RouterStore, agents: Agents
) -> list[RouterId]:
    """Return those of the routers that aren't yet, or aren't any more, as `ensure` makes them."""
    seen = _read(context, [row.router_id for row in rows], store)
    found: list[RouterId] = []
    for number, row in enumerate(rows):
        try:
            if not _is_settled(row, seen, agents):
                found.append(row.router_id)
        except Failure as failure:
            LOG.debug("Router %s can't be compared: %s", row.router_id, failure)
            found.append(row.router_id)
            if failure.reason.code == AWAY:
                # Each would wait as long for the database.
                return [*found, *(other.router_id for other in rows[number + 1 :])]
        except Exception:
            # Whatever is wrong with one router keeps none from the sweep; the look will tell.
            LOG.debug("Router %s can't be compared", row.router_id, exc_info=True)
            found.append(row.router_id)
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class _Seen:
    """What the database says around all routers."""

    routers: Mapping[RouterId, Router]
    ports: Mapping[RouterId, BoundPort]
    spare: Callable[[str, BoundPort | None], bool]
    leaving: Collection[RouterId]
    traffic: Callable[[RouterId], RouterTraffic]
    addresses: Mapping[RouterId, Collection[Addresses]]
    problems: Mapping[RouterId, Mapping[str, Reason]]


def _read(context: Any, ids: Sequence[RouterId], store: RouterStore) -> _Seen:
    ports = PublicPorts()
    routers = topology.routers_of(context, ids)
    networks = {r.gateway_network_id for r in routers.values() if r.gateway_network_id}
    return _Seen(
        routers=routers,
        ports=ports.find_all(context, ids),
        spare=ports.spare(context, networks),
        leaving=predecessor.leaving(context, ids),
        traffic=store.traffic(context, ids),
        addresses=store.external_addresses(context, ids),
        problems=store.row_problems(context, ids),
    )


def _is_settled(row: RouterRow, seen: _Seen, agents: Agents) -> bool:
    """Tell whether a look would find nothing to do."""
    router_id = row.router_id
    router = seen.routers.get(router_id)
    if (
        row.services == 0
        or router is None
        or not ovn_utils.is_ovn_provider_router({"flavor_id": router.flavor_id})
        or router_id in seen.leaving
        or row.northbound_revision < row.revision
    ):
        return False
    placed = ovn_wanted.placed(row, router, agents)
    if placed != Placement(row.host, row.standbys, row.pin):
        return False
    if not _is_connected(row, router, seen):
        return False
    nb = ovn_wanted.driver().nb_ovn
    wanted, limitations = ovn_wanted.steered(nb, row, router, seen.traffic(router_id))
    return (
        limitations == seen.problems.get(router_id, {})
        and northbound.compare(nb, wanted) is Outcome.SAME
    )


def _is_connected(row: RouterRow, router: Router, seen: _Seen) -> bool:
    """Tell whether the public port is as it should be, and recorded so."""
    port, network_id = seen.ports.get(row.router_id), router.gateway_network_id
    if network_id is None:
        is_right = port is None
    elif port is None:
        is_right = not seen.spare(network_id, None)
    else:
        is_right = (
            port.network_id == network_id
            and is_bound(port, row.host)
            and not seen.spare(network_id, port)
        )
    addresses = (port.address(4), port.address(6)) if port else (None, None)
    return (
        is_right
        and set(seen.addresses[row.router_id]) == {addresses}
        and ovn_wanted.problem_of(router, row.host, port) == row.problem
    )
