"""What the sweep of routers that L3 agents serve asks of the database, and what it looks at."""

import contextlib

import pytest

from swanherd.core.model import Reason, RouterReport, RowStatus, Status
from swanherd.server.sweep import Sweep
from tests.unit.server.cloud import MANY, ROUTERS, sweep, uuid
from tests.unit.server.l3 import R1, admin


@pytest.fixture
def swept(cloud, neutron, served):
    """The router r1 on host a, with a connection; a pass over it has found nothing to do."""
    neutron.router()
    neutron.bind("a")
    cloud.connection()
    return cloud


def test_a_pass_costs_as_many_queries_for_twenty_routers_as_for_one(swept, neutron, selects):
    """Where there is nothing to do; and no more than a look at one router used to."""
    counts = []
    for routers in ([], MANY):
        for name in routers:
            neutron.plain_router(name, gateway=True)
            neutron.bind("b", router=uuid(name))
            swept.create("vpnservice", router_id=uuid(name))
        selects.clear()
        assert sweep(swept) == []
        counts.append(len(selects))
    assert len(swept.store.list_router_rows(admin())) == 1 + len(MANY)
    assert counts[0] == counts[1]
    assert counts[0] <= 15


def test_an_agent_learns_a_router_by_few_queries(swept, served, selects):
    """It asks for each router when it starts."""
    selects.clear()
    assert served.get_router("a", R1).connections
    assert len(selects) <= 17


def moved(cloud):
    cloud.neutron.unbind("a")
    cloud.neutron.bind("b")


@contextlib.contextmanager
def unfollowed(cloud):
    """Let requests be those of a process that ends before it looks at the router."""
    (service,) = cloud.api.get_vpnservices(cloud.fresh(), {"router_id": [R1]})
    cloud.looker.backend, backend = None, cloud.looker.backend
    yield service["id"]
    cloud.looker.backend = backend


def forgotten(cloud):
    (connection,) = cloud.api.get_ipsec_site_connections(cloud.fresh())
    cloud.delete("ipsec_site_connection", connection["id"])
    with unfollowed(cloud) as service_id:
        cloud.delete("vpnservice", service_id)


def came(cloud):
    with unfollowed(cloud):
        cloud.create("vpnservice")


def disabled(cloud):
    with unfollowed(cloud) as service_id:
        cloud.update("vpnservice", service_id, admin_state_up=False)


CHANGES = {
    "another host": moved,
    "no host": lambda cloud: cloud.neutron.unbind("a"),
    "a host without our agent": lambda cloud: cloud.neutron.change(
        "agents", uuid("aS"), admin_state_up=False
    ),
    "another address": lambda cloud: (
        cloud.neutron.disconnect_port("gw"),
        cloud.neutron.allocate("gw", "10.2.0.77", "t4"),
    ),
    "no gateway": lambda cloud: cloud.neutron.change("routers", R1, gw_port_id=None),
    "no interface": lambda cloud: cloud.neutron.disconnect("r1", "s4"),
    "no router": lambda cloud: cloud.neutron.forget("r1"),
    "a failure": lambda cloud: cloud.store.set_problem(admin(), R1, Reason("x", "y")),
    "the last service went": forgotten,
    "a service came": came,
    "a service was disabled": disabled,
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_unseen_is_looked_at_and_settled(swept, neutron, change):
    """Whoever changed it: the next pass finds nothing any more, but for a router that is gone."""
    neutron.plain_router("r5", gateway=True)
    neutron.bind("c", router=uuid("r5"))
    swept.create("vpnservice", router_id=uuid("r5"))
    CHANGES[change](swept)
    assert sweep(swept) == [R1]
    again = sweep(swept)
    assert again == ([R1] if change == "no router" else [])


def test_routers_of_a_lost_agent_are_moved_or_told_before_any_other_is_looked_at(
    cloud, neutron, scheduler
):
    """However long that takes: the looks at a thousand routers of OVN last minutes."""
    made = {}
    for name, host in (("r1", "a"), ("r2", "b"), ("r5", "a"), ("r6", "b")):
        if name not in ROUTERS:
            neutron.plain_router(name, gateway=True)
        cloud.backend.host = host
        made[name] = cloud.create("vpnservice", router_id=uuid(name))
        row = cloud.row(name)
        rows = (RowStatus(made[name]["id"], Status.ACTIVE),)
        cloud.intake.take(
            admin(), host, [RouterReport(uuid(name), row.revision, row.epoch, rows, ())]
        )
    neutron.silence("b")
    told = []

    def look(router_id):
        told.append((router_id, cloud.show("vpnservice", made["r6"]["id"])["status"]))
        if router_id == uuid("r2"):
            cloud.store.set_placement(admin(), router_id, "a")

    cloud.looker.sweep = look
    Sweep(cloud.store, cloud.intake, cloud.looker).run()
    assert [status for _, status in told] == ["ACTIVE", "ACTIVE", "DOWN", "DOWN"]
    assert [router_id for router_id, _ in told] == [uuid(n) for n in ("r2", "r6", "r1", "r5")]
    assert cloud.show("vpnservice", made["r2"]["id"])["status"] == "PENDING_UPDATE"
