"""What the sweep of routers that OVN serves asks of the database, and what it looks at."""

import pytest

from swanherd.core.model import Reason, RouterReport, RowStatus, Status
from swanherd.core.steering import transit_port_id
from tests.functional.ovn.served import (
    PUBLIC6,
    ours,
    public,
    remove_leftovers,
    sweep,
)
from tests.functional.ovn.served import served as served
from tests.unit.server.cloud import MANY, uuid
from tests.unit.server.conftest import cloud as cloud
from tests.unit.server.conftest import engine as engine
from tests.unit.server.conftest import selects as selects
from tests.unit.server.l3 import R1, admin


@pytest.fixture
def swept(served):
    """The router r1 with a connection; a pass over it has found nothing to do."""
    served.neutron.router("r1")
    served.connection(peer_cidrs=["10.2.0.0/16"])
    served.neutron.replicated()
    assert sweep(served) == []
    assert served.row().host == "gateway-1"
    assert served.row().problem is None
    return served


def selects_of(work, cloud, selects):
    """Return how many queries the work makes with one router, and with many more."""
    counts = []
    for routers in ([], MANY):
        cloud.neutron.router(*routers)
        for name in routers:
            cloud.create("vpnservice", router_id=uuid(name))
        cloud.neutron.replicated()
        selects.clear()
        work()
        counts.append(len(selects))
    return counts


def test_a_pass_costs_as_many_queries_for_twenty_routers_as_for_one(swept, selects):
    """Where there is nothing to do; and no more than a look at one router used to."""
    passes = []
    counts = selects_of(lambda: passes.append(sweep(swept)), swept, selects)
    assert passes == [[], []]
    assert len(swept.store.list_router_rows(admin())) == 1 + len(MANY)
    assert counts[0] == counts[1]
    assert counts[0] <= 30


def remove(table):
    """Return what removes a row of ours by hand."""

    def removed(cloud):
        row = ours(cloud, table)[0]
        if table == "Logical_Switch":
            cloud.neutron.northbound(["ls-del", row])
            return
        column = {"Logical_Router_Policy": "policies", "Logical_Router_Port": "ports"}[table]
        router = f"neutron-{R1}"
        cloud.neutron.northbound(["remove", "Logical_Router", router, column, row])

    return removed


def bound(chassis):
    return lambda cloud: cloud.neutron.southbound("lsp-bind", f"cr-lrp-{uuid('gr1')}", chassis)


def failing(cloud):
    (connection,) = cloud.api.get_ipsec_site_connections(cloud.fresh())
    cloud.store.set_row_problems(admin(), R1, {connection["id"]: Reason("x", "y")})


def unfollowed(cloud, request):
    """Do a request as a process that ends before it looks at the router."""
    cloud.looker.backend, backend = None, cloud.looker.backend
    request()
    cloud.looker.backend = backend


def service_of(cloud):
    return cloud.api.get_vpnservices(cloud.fresh(), {"router_id": [R1]})[0]["id"]


def forgotten(cloud):
    (connection,) = cloud.api.get_ipsec_site_connections(cloud.fresh())
    cloud.delete("ipsec_site_connection", connection["id"])
    unfollowed(cloud, lambda: cloud.delete("vpnservice", service_of(cloud)))


def disabled(cloud):
    request = {"admin_state_up": False}
    unfollowed(cloud, lambda: cloud.update("vpnservice", service_of(cloud), **request))


def agentless(*hosts):
    def gone(cloud):
        for host in hosts:
            cloud.neutron.change("agents", uuid(f"{host}S"), admin_state_up=False)

    return gone


NORTHBOUND = {
    "a policy removed": remove("Logical_Router_Policy"),
    "the transit removed": remove("Logical_Switch"),
    "the router's port removed": remove("Logical_Router_Port"),
    "another match": lambda cloud: cloud.neutron.northbound(
        ["set", "Logical_Router_Policy", ours(cloud, "Logical_Router_Policy")[0], 'match="ip4"']
    ),
    "a port elsewhere": lambda cloud: cloud.neutron.northbound(
        ["lsp-set-options", transit_port_id(R1), "requested-chassis=gateway-9"]
    ),
    "an older database": lambda cloud: cloud.neutron.northbound(
        ["set", "Logical_Switch", f"swanherd-{R1}", f"external_ids:swanherd\\:revision={2**60}"],
        [
            "remove",
            "Logical_Router",
            f"neutron-{R1}",
            "policies",
            ours(cloud, "Logical_Router_Policy")[0],
        ],
    ),
    "no default route": lambda cloud: cloud.neutron.northbound(["lr-route-del", f"neutron-{R1}"]),
}
CHANGES = NORTHBOUND | {
    "the gateway elsewhere": bound("chassis-2"),
    "an agent disabled": agentless("gateway-1"),
    "no agent": agentless("gateway-1", "gateway-2"),
    "no public port": lambda cloud: cloud.neutron.delete_port(public("r1")),
    "a public port elsewhere": lambda cloud: cloud.neutron.bind_port(public("r1"), host="x"),
    "an unbound public port": lambda cloud: cloud.neutron.bind_port(
        public("r1"), vif_type="binding_failed"
    ),
    "a public port without addresses": lambda cloud: cloud.neutron.take_address(public("r1")),
    "a public port of another network": lambda cloud: cloud.neutron.change(
        "ports", public("r1"), network_id=uuid("net")
    ),
    "an interface in a peer CIDR": lambda cloud: cloud.neutron.port(
        "more", "network:router_interface", "10.2.0.1", "t4"
    ),
    "no interface": lambda cloud: cloud.neutron.disconnect("r1", "s4"),
    "no gateway": lambda cloud: cloud.neutron.change("routers", R1, gw_port_id=None),
    "an address of IPv6": lambda cloud: cloud.neutron.subnet("e6", 6, PUBLIC6),
    "a failure": lambda cloud: cloud.store.set_problem(admin(), R1, Reason("x", "y")),
    "a failure of a connection": failing,
    "the last service went": forgotten,
    "a service came": lambda cloud: unfollowed(cloud, lambda: cloud.create("vpnservice")),
    "a service was disabled": disabled,
}


OF_ALL = {"an agent disabled", "no agent", "an address of IPv6"}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_unseen_is_looked_at_and_settled(swept, change):
    """Whoever changed it, and nobody else is looked at: the next pass finds nothing any more."""
    swept.neutron.router("m00")
    swept.create("vpnservice", router_id=uuid("m00"))
    swept.neutron.replicated()
    CHANGES[change](swept)
    looked = sweep(swept)
    assert set(looked) == ({R1, uuid("m00")} if change in OF_ALL else {R1})
    assert sweep(swept) == []


def test_leftovers_are_found_by_as_many_queries_whatever_there_is(swept, selects):
    """And removed, whatever is left of a router that the database doesn't know."""
    counts = selects_of(lambda: remove_leftovers(swept), swept, selects)
    assert counts[0] == counts[1]
    assert swept.neutron.port_ids() == {public(name) for name in ("r1", *MANY)}
    swept.neutron.forget_all(R1)
    remove_leftovers(swept)
    assert swept.neutron.port_ids() == {public(name) for name in MANY}
    assert ours(swept, "Logical_Switch") == []


def looked_at(cloud):
    """Return at which routers the backend wants a look."""
    rows = cloud.store.list_router_rows(admin())
    return cloud.looker.backend.unsettled(admin(), rows)


def test_a_router_that_goes_back_to_neutron_vpnaas_is_looked_at(swept):
    """Its objects are made again by a look."""
    swept.neutron.insert("vpn_ext_gws", router_id=R1, status="PENDING_UPDATE")
    assert looked_at(swept) == [R1]


def test_what_is_wrong_with_the_rows_of_one_router_keeps_none_from_the_sweep(swept):
    """A network that is none, written by hand: the look tells."""
    swept.neutron.router("m00")
    swept.create("vpnservice", router_id=uuid("m00"))
    swept.neutron.replicated()
    swept.neutron.change_all("ipsecpeercidrs", cidr="everything")
    assert looked_at(swept) == [R1]


def test_without_ovn_s_database_each_router_is_looked_at(swept, nb, monkeypatch):
    """Nobody can tell which of them differ."""
    swept.neutron.router("m00")
    swept.create("vpnservice", router_id=uuid("m00"))
    monkeypatch.setattr(nb.idl._session, "is_connected", lambda: False)
    assert set(looked_at(swept)) == {R1, uuid("m00")}


def test_the_vpn_of_a_disabled_agent_that_nobody_else_can_have_is_what_it_says(swept):
    """It answers and goes on, until there is another one: it isn't lost."""
    (connection,) = swept.api.get_ipsec_site_connections(swept.fresh())
    report(swept, connection, "gateway-1")
    agentless("gateway-1", "gateway-2")(swept)
    sweep(swept)
    assert swept.row().host == "gateway-1"
    shown = swept.show("ipsec_site_connection", connection["id"])
    assert (shown["status"], shown["status_code"]) == ("ACTIVE", None)
    swept.neutron.silence("gateway-1")
    sweep(swept)
    shown = swept.show("ipsec_site_connection", connection["id"])
    assert (shown["status"], shown["status_code"]) == ("DOWN", "agent_lost")


def report(cloud, connection, host):
    row = cloud.row()
    rows = (RowStatus(connection["id"], Status.ACTIVE),)
    cloud.intake.take(admin(), host, [RouterReport(R1, row.revision, row.epoch, (), rows)])
