"""What some hundred agents and thousands of routers ask of the server, and what none may spoil."""

import dataclasses

import sqlalchemy as sa
from neutron.db.models.agent import Agent
from sqlalchemy import exc as sa_exc

from swanherd.core.model import Reason, Role
from swanherd.core.placement import Agents
from swanherd.server import placement
from swanherd.server.db.models import RouterStateRow
from swanherd.server.sweep import Sweep
from tests.unit.server.cloud import uuid
from tests.unit.server.l3 import R1, admin, claim, serving

from swanherd.server.db import head  # isort: skip - after neutron, whose import warns


def test_one_router_whose_look_breaks_keeps_none_from_the_sweep(cloud, neutron, served):
    """Nor the sweep from finding the agents that are gone, nor the next pass from coming."""
    neutron.router()
    neutron.bind("a")
    connection = cloud.connection()
    served.report_status("a", [serving(cloud, None)])
    cloud.create("vpnservice", router_id=uuid("r2"))
    neutron.silence("a")
    broken = BrokenLooker()
    Sweep(cloud.store, cloud.intake, broken).run_safely()
    assert set(broken.looked) == {R1, uuid("r2")}
    shown = cloud.show("ipsec_site_connection", connection["id"])
    assert (shown["status"], shown["status_code"]) == ("DOWN", "agent_lost")


class BrokenLooker:
    """Finds all connections to the database taken, at each router."""

    def __init__(self):
        self.looked = []

    def unsettled(self, context, rows):
        return [row.router_id for row in rows]

    def sweep(self, router_id):
        self.looked.append(router_id)
        raise sa_exc.TimeoutError("QueuePool limit reached")


def test_a_sweep_that_breaks_ends_no_worker(cloud, neutron, engine):
    """Neutron's periodic worker would never call it again."""
    tables = head.get_metadata().tables
    tables["agents"].drop(engine)
    try:
        Sweep(cloud.store, cloud.intake, cloud.looker).run_safely()
    finally:
        tables["agents"].create(engine)


def test_of_many_routers_nothing_new_costs_what_it_costs_of_one(cloud, split, selects):
    """An agent tells of all that it has at each comparison: of those that serve, and stand by."""
    split.report_status("a", [claim(100.0)])
    cloud.create("vpnservice", router_id=uuid("r2"))
    cloud.store.set_placement(admin(), uuid("r2"), "a")
    both = [claim(100.0), dataclasses.replace(claim(), router_id=uuid("r2"))]
    counts = []
    for host, role in (("a", Role.ACTIVE), ("b", Role.STANDBY)):
        reports = [dataclasses.replace(report, role=role) for report in both]
        if role is Role.STANDBY:
            reports = [dataclasses.replace(report, held=None) for report in reports]
        for told in (reports[:1], reports):
            selects.clear()
            split.report_status(host, told)
            counts.append(len(selects))
    assert counts[0] == counts[1]
    assert counts[2] == counts[3]


def test_an_agent_that_compares_has_no_other_hosts_routers_read(cloud, neutron, served, engine):
    """Each agent asks every few seconds, and a cloud may have thousands of routers."""
    neutron.router()
    neutron.bind("a")
    cloud.connection()
    cloud.create("vpnservice", router_id=uuid("r2"))
    loaded = []

    def note(row, _context):
        loaded.append(row.router_id)

    sa.event.listen(RouterStateRow, "load", note)
    try:
        assert set(served.get_revisions("a")) == {R1}
    finally:
        sa.event.remove(RouterStateRow, "load", note)
    assert loaded == [R1]


def test_who_waits_for_an_address_is_found_without_the_others(cloud, engine):
    """Each port that is deleted in the cloud may have freed it."""
    cloud.create("vpnservice")
    cloud.create("vpnservice", router_id=uuid("r2"))
    cloud.store.set_problem(admin(), R1, Reason("no_address", "."))
    loaded = []

    def note(row, _context):
        loaded.append(row.router_id)

    sa.event.listen(RouterStateRow, "load", note)
    try:
        (row,) = cloud.store.list_rows_with_problem(admin(), "no_address")
    finally:
        sa.event.remove(RouterStateRow, "load", note)
    assert row.router_id == R1
    assert loaded == [R1]
    assert cloud.store.list_rows_with_problem(admin(), "no_agent") == ()


def test_what_each_look_asks_of_the_agents_makes_no_objects_of_them(cloud, neutron):
    """Of three hundred that took longer than all the rest of a look."""
    neutron.silence("b")
    loaded = []

    def note(row, _context):
        loaded.append(row)

    sa.event.listen(Agent, "load", note)
    try:
        found = placement.agents(admin())
    finally:
        sa.event.remove(Agent, "load", note)
    assert found == Agents(known=frozenset("abc"), alive=frozenset("ac"))
    assert not loaded
