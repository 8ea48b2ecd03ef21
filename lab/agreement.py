"""Whether the API, the database, OVN (if it serves) and charon say the same of one side."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException

from lab import database
from lab.layout import LabError
from lab.vpn import End, agent_view, show
from swanherd.core import naming
from swanherd.core.model import Dpd, Secret, SiteConnection
from swanherd.testing import builders

# What an API that isn't there, or an agent that isn't, looks like to who asks.
UNANSWERED = (SDKException, ClientException, LabError)


def differences(end: End, connections: Sequence[str]) -> list[str]:
    """Return what differs, of a router that has these connections of one pair each."""
    view = agent_view(end)
    shown = [end.connection(c) for c in connections]
    router = end.site.router_id
    found = [f"plan: {action}" for action in view["plan"]]
    found += [
        f"{c['id']}: {c['status']} {c['status_code']}" for c in shown if c["status"] != "ACTIVE"
    ]
    # The API's attributes and the agent's.
    loaded = {c["id"]: (c["mtu"], c["dpd"]["interval"]) for c in view["desired"]["connections"]}
    wanted = {c["id"]: (c["mtu"], c["dpd"]["interval"]) for c in shown}
    found += [] if loaded == wanted else [f"agent has {loaded}, API {wanted}"]
    # The database's revisions and the agent's.
    name = f"neutron_{end.cloud.name}"
    query = "select naming_key, revision, northbound_revision from swanherd_routers"
    key, *row = database.sql(end.cloud.lab, f"{query} where router_id='{router}';", name).split()
    # An agent that has just begun hasn't told anything yet.
    reported = (view["report"] or {"revision": None})["revision"]
    told = [*row, str(view["desired"]["revision"]), str(reported)]
    found += [] if len(set(told)) == 1 else [f"revisions {told}"]
    pairs = len(connections)
    found += _ovn_differences(end, row[0], pairs) if end.cloud.plan.has_ovn else []
    # Charon's children: one for each pair.
    charon = view["observed"]["charon"]
    children = [c["name"] for sa in charon["ike_sas"] for c in sa["children"]]
    installed = {
        c["name"] for sa in charon["ike_sas"] for c in sa["children"] if c["state"] == "INSTALLED"
    }
    found += [] if len(installed) == pairs else [f"children {children}"]
    # Their names are keyed digests of all that was negotiated: of the key and the policies, too.
    names = names_of([as_shown(end, each) for each in shown], Secret(key))
    of_charon = Names(
        frozenset(config["name"] for config in charon["configs"]),
        frozenset(name for config in charon["configs"] for name in config["children"]),
    )
    of_sas = Names(frozenset(sa["config"] for sa in charon["ike_sas"]), frozenset(installed))
    found += [f"{has}, API {names}" for has in (of_charon, of_sas) if has != names]
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class Names:
    """What charon calls its IKE configs and their children."""

    configs: frozenset[str]
    children: frozenset[str]


def names_of(connections: Iterable[SiteConnection], key: Secret) -> Names:
    """Return the names under which charon should have these connections."""
    wanted = tuple(connections)
    return Names(
        frozenset(
            naming.config_name(naming.peering_id(c, key), naming.generation(c, key))
            for c in wanted
        ),
        frozenset(naming.child_name(s, c.ipsec) for c in wanted for s in c.selectors),
    )


def as_shown(end: End, shown: Mapping[str, Any]) -> SiteConnection:
    """Return what the API shows of a connection, its policies, networks and key with it."""
    ike, ipsec = (
        show(end.client, plural, shown[field])
        for plural, field in (("ikepolicies", "ikepolicy_id"), ("ipsecpolicies", "ipsecpolicy_id"))
    )
    here, there = (
        show(end.client, "endpoint-groups", shown[f"{side}_ep_group_id"])["endpoints"]
        for side in ("local", "peer")
    )
    end.refresh()
    local = end.address(ipaddress.ip_address(shown["peer_address"]).version)
    cidrs = {subnet: cidr for cidr, subnet in end.site.subnets.items()}
    common = {
        "integrity": "auth_algorithm",
        "encryption": "encryption_algorithm",
        "dh_group": "pfs",
    }

    def policy(row: Mapping[str, Any]) -> dict[str, Any]:
        return {ours: row[theirs] for ours, theirs in common.items()} | {
            "lifetime": row["lifetime"]["value"]
        }

    return builders.connection(
        local_address=ipaddress.ip_address(local),
        local_id=shown["local_id"] or local,
        peer_address=shown["peer_address"],
        peer_id=shown["peer_id"],
        psk=Secret(shown["psk"]),
        dpd=Dpd(**shown["dpd"]),
        ike=builders.ike_policy(
            version=ike["ike_version"], mode=ike["phase1_negotiation_mode"], **policy(ike)
        ),
        ipsec=builders.ipsec_policy(
            transform=ipsec["transform_protocol"],
            mode=ipsec["encapsulation_mode"],
            **policy(ipsec),
        ),
        selectors=tuple(builders.selector(cidrs[h], t) for h in here for t in there),
    )


def _ovn_differences(end: End, revision: str, pairs: int) -> list[str]:
    """Return what OVN has that isn't of this revision of the database, or isn't one a pair."""
    router = end.site.router_id
    switch = end.cloud.nbctl("get", "Logical_Switch", f"swanherd-{router}", "external_ids")
    is_current = f'revision"="{revision}"' in switch
    policies = end.cloud.nbctl("lr-policy-list", f"neutron-{router}")
    is_whole = policies.count("reroute    ") - policies.count(" 850 ") == pairs
    return [
        *([] if is_current else [f"OVN {switch}, database {revision}"]),
        *([] if is_whole else [policies]),
    ]
