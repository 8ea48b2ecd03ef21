"""Where OVN has put a router's gateway: read from its two databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from swanherd.core.model import RouterId
from swanherd.core.placement import Gateway
from swanherd.ovn import raw
from swanherd.ovn.database import EVERY_ROUTER, held


def gateway(nb: Any, sb: Any, router_id: RouterId, gateway_port_id: str) -> Gateway:
    """Return the hosts (by hostname) of the gateway port, or raise Temporary.

    ovn-northd names the distributed gateway port's redirect `cr-` and the router port's name;
    Neutron names that `lrp-` and the port's id, and writes the candidates into the router port's
    ha_chassis_group, before release 2026.1 into its gateway_chassis. A router whose external
    network is an overlay is pinned to a chassis as a whole.
    """
    name = f"lrp-{gateway_port_id}"
    with held(nb, router_id):
        port = nb.lookup("Logical_Router_Port", name, default=None)
        ranked = sorted(_candidates(port), reverse=True) if port else []
        router = nb.lookup("Logical_Router", f"neutron-{router_id}", default=None)
        pinned = router.options.get("chassis") if router else None
    with held(sb, router_id):
        # By name, since a cloud has hundreds of chassis and each look at a router asks.
        candidates = (_hostname(sb, chassis) for _, chassis in ranked)
        known = tuple(host for host in candidates if host is not None)
        redirect = sb.lookup("Port_Binding", f"cr-{name}", default=None)
        bound = redirect.chassis if redirect else ()
        active = next((row.hostname for row in bound), None) or _hostname(sb, pinned)
    return Gateway(active, known)


def heard(nb: Any, sb: Any, patience: float) -> frozenset[str]:
    """Return the hostnames of the chassis whose ovn-controller answers; `patience` in seconds.

    It answers by copying nb_cfg of the northbound database (ovn-sb(5), Chassis_Private), which
    whoever asks has raised before. Its time is compared with the newest answer's, so that nobody's
    clock but the chassis' own ones matters.
    """
    with held(nb, EVERY_ROUTER):
        asked = max((row.nb_cfg for row in nb.tables["NB_Global"].rows.values()), default=0)
    with held(sb, EVERY_ROUTER):
        answers = [
            (chassis, raw.value(row, "nb_cfg"), raw.value(row, "nb_cfg_timestamp"))
            for row in sb.tables["Chassis_Private"].rows.values()
            for chassis in raw.referred(row, "chassis")
        ]
        newest = max((at for _, _, at in answers), default=0)
        return frozenset(
            raw.value(chassis, "hostname")
            for chassis, answer, at in answers
            if asked - answer <= 1 or newest - at < patience * 1000
        )


def _hostname(sb: Any, chassis: str | None) -> str | None:
    """Return the hostname of the chassis of that name; None if there is none."""
    row = sb.lookup("Chassis", chassis, default=None) if chassis else None
    return row.hostname if row is not None else None


def _candidates(port: Any) -> Iterator[tuple[int, str]]:
    groups = (row.ha_chassis for row in port.ha_chassis_group)
    for rows in (port.gateway_chassis, *groups):
        for row in rows:
            yield row.priority, row.chassis_name
