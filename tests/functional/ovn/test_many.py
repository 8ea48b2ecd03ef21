"""A change of a router with many connections, with real servers."""

from __future__ import annotations

import collections
from typing import Any

import pytest
from ovs.db import idl
from ovsdbapp.backend.ovs_idl import event as row_event

from swanherd.core.model import RouterId
from swanherd.core.placement import Gateway
from swanherd.core.steering import Surroundings
from swanherd.ovn import northbound, southbound
from swanherd.ovn.events import RouterChanged
from swanherd.ovn.northbound import Outcome
from swanherd.ovn.routing import routing_of
from tests.functional.ovn.daemons import Northd, until
from tests.functional.ovn.test_northbound import router as router
from tests.functional.ovn.test_northbound import sync_until_settled, wanted_of


def pairs(count: int) -> list[tuple[str, str]]:
    return [("10.1.0.0/24", f"10.{100 + n // 250}.{n % 250}.0/24") for n in range(count)]


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> collections.Counter[str]:
    """Counts what python-ovs does for us: values that it makes, rows that it compares."""
    done: collections.Counter[str] = collections.Counter()

    def counted(name: str) -> None:
        original = getattr(idl.Row, name)

        def method(self: Any, *arguments: Any) -> Any:
            done[name] += 1
            return original(self, *arguments)

        monkeypatch.setattr(idl.Row, name, method)

    counted("__getattr__")
    counted("__lt__")
    return done


def test_one_more_connection_costs_what_it_costs_where_there_are_few(
    ovn: Northd, nb: Any, router: RouterId, work: collections.Counter[str]
) -> None:
    """python-ovs makes and compares as many values with 300 connections as with 5."""
    costs = []
    for revision, count in ((1, 5), (3, 300)):
        sync_until_settled(nb, wanted_of(router, revision, pairs(count)))
        work.clear()
        one_more = wanted_of(router, revision + 1, pairs(count + 1))
        assert northbound.sync(nb, one_more) is Outcome.WRITTEN
        assert northbound.sync(nb, one_more) is Outcome.SAME
        routing_of(nb, router)
        costs.append(dict(work))
    assert costs[0] == costs[1]


def test_a_change_by_hand_is_found_among_many(ovn: Northd, nb: Any, router: RouterId) -> None:
    """Any column of one of a thousand policies."""
    wanted = wanted_of(router, 1, pairs(300))
    sync_until_settled(nb, wanted)
    policy = "Logical_Router_Policy"
    match = 'match="ip4.src == 10.1.0.0/24 && ip4.dst == 10.100.7.0/24"'
    which = "--bare", "--columns=_uuid", "find", policy, match, "action=reroute"
    for change in ("priority=7", "action=drop", "match=ip4", "nexthops=192.0.2.1"):
        (row,) = ovn.nb.run("ovn-nbctl", *which).split()
        ovn.nb.run("ovn-nbctl", "set", policy, row, change)
        until(lambda: northbound.sync(nb, wanted) is Outcome.WRITTEN)
        assert sync_until_settled(nb, wanted) is Outcome.SAME


def test_routes_of_our_own_bring_no_look(ovn: Northd, nb: Any, router: RouterId) -> None:
    """Others that come, and any that goes, do: whoever wrote ours has looked."""
    told: list[RouterId] = []
    heard = RouterChanged(told.append)

    # As ovsdbapp's handler asks each event.
    def notify(event: str, row: Any, updates: Any = None) -> None:
        if event == row_event.RowEvent.ROW_UPDATE and heard.matches(event, row, updates):
            heard.run(event, row, updates)

    nb.idl.notify = notify
    until(lambda: routing_of(nb, router).gateways)
    gateways = routing_of(nb, router).gateways
    routed = Surroundings(default_routes=frozenset({4, 6}), gateways=gateways)
    name = f"neutron-{router}"
    told.clear()
    sync_until_settled(nb, wanted_of(router, 1, pairs(2), routed))
    assert northbound.sync(nb, wanted_of(router, 1, pairs(2), routed)) is Outcome.SAME
    assert "10.100.1.0/24" in ovn.nb.run("ovn-nbctl", "lr-route-list", name)
    assert told == []
    ovn.nb.run("ovn-nbctl", "lr-route-add", name, "10.4.0.0/16", "10.1.0.9")
    until(lambda: told == [router])
    ovn.nb.run("ovn-nbctl", "lr-route-del", name, "10.100.1.0/24")
    until(lambda: told == [router, router])


def test_where_a_gateway_is_costs_the_same_in_a_large_cloud(
    ovn: Northd, nb: Any, sb: Any, router: RouterId, work: collections.Counter[str]
) -> None:
    """Each look at a router asks, and each compute node is a chassis too."""
    name, port = f"neutron-{router}", "0000-of-many"
    ovn.nb.run("ovn-nbctl", "lrp-add", name, f"lrp-{port}", "02:00:00:00:02:01", "198.51.100.9/24")
    ovn.nb.run("ovn-nbctl", "lrp-set-gateway-chassis", f"lrp-{port}", "chassis-1", "10")
    until(lambda: southbound.gateway(nb, sb, router, port) == Gateway(None, ("gateway-1",)))
    costs = []
    for _ in range(2):
        work.clear()
        assert southbound.gateway(nb, sb, router, port).candidates == ("gateway-1",)
        costs.append(dict(work))
        more = (f"-- --may-exist chassis-add more-{n} geneve 192.0.2.{n + 1}" for n in range(20))
        ovn.sb.run("ovn-sbctl", "init", *" ".join(more).split())
        until(lambda: len(sb.tables["Chassis"].rows) == 21)
    assert costs[0] == costs[1]


def test_whose_controllers_answer_is_read_without_making_values_of_all(
    ovn: Northd, nb: Any, sb: Any, work: collections.Counter[str]
) -> None:
    """While an agent is silent each look at a router asks that of every chassis."""
    now = 1_000_000
    for number, (answer, at) in enumerate([(10, now), (3, now - 2000), (3, now - 90_000)]):
        name = f"heard-{number}"
        ovn.sb.run(
            "ovn-sbctl", "--may-exist", "chassis-add", name, "geneve", f"203.0.113.{number}"
        )
        ovn.sb.run("ovn-sbctl", "set", "Chassis", name, f"hostname=host-{number}")
        (row,) = ovn.sb.run(
            "ovn-sbctl", "--bare", "--columns=_uuid", "find", "Chassis", f"name={name}"
        ).split()
        values = f"name={name}", f"chassis={row}", f"nb_cfg={answer}", f"nb_cfg_timestamp={at}"
        ovn.sb.run("ovn-sbctl", "create", "Chassis_Private", *values)
    ovn.nb.run("ovn-nbctl", "set", "NB_Global", ".", "nb_cfg=11")
    until(lambda: southbound.heard(nb, sb, 75) == {"host-0", "host-1"})
    work.clear()
    southbound.heard(nb, sb, 75)
    assert work["__getattr__"] <= 1  # how often northd was asked
