"""Whether the API, the database, OVN (if it serves) and charon say the same of one side."""

from __future__ import annotations

from collections.abc import Sequence

from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException

from lab import database
from lab.layout import LabError
from lab.vpn import End, agent_view

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
    query = "select revision, northbound_revision from swanherd_routers where router_id="
    row = database.sql(end.cloud.lab, f"{query}'{router}';", name).split()
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
    found += [] if len(charon["configs"]) == 1 else [f"configs {charon['configs']}"]
    return found


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
