"""Our rows in the northbound database, with real servers and ovn-northd."""

from __future__ import annotations

import dataclasses
import gc
import ipaddress
import itertools
import time
import types
import uuid
import warnings
from collections.abc import Iterable, Iterator
from concurrent import futures
from typing import Any

import pytest

from swanherd.core.failures import Temporary
from swanherd.core.model import RouterId, TrafficSelector
from swanherd.core.placement import Gateway
from swanherd.core.steering import Northbound, Surroundings, northbound_of
from swanherd.ovn import northbound, southbound
from swanherd.ovn.northbound import Outcome
from swanherd.ovn.routing import Routing, routing_of
from tests.functional.ovn.daemons import Northd, until

with warnings.catch_warnings():
    # futurist imports eventlet where it is installed, which warns.
    warnings.simplefilter("ignore")
    from neutron.plugins.ml2.drivers.ovn.mech_driver.ovsdb.ovn_client import OVNClient

BOTH = Surroundings(default_routes=frozenset({4, 6}))
PAIRS = (("10.1.0.0/24", "10.9.0.0/24"), ("fd01::/64", "fd09::/64"))


@pytest.fixture
def router(ovn: Northd) -> Iterator[RouterId]:
    """A router as Neutron makes it, with rows that aren't ours around it."""
    router_id = RouterId(str(uuid.uuid4()))
    name = f"neutron-{router_id}"
    ovn.nb.run("ovn-nbctl", "lr-add", name)
    for command in (
        (
            "lrp-add",
            name,
            f"lrp-inside-{router_id}",
            "02:00:00:00:01:01",
            "10.1.0.1/24",
            "fd01::1/64",
        ),
        ("lrp-add", name, f"lrp-outside-{router_id}", "02:00:00:00:01:02", "203.0.113.9/24"),
        ("lr-route-add", name, "0.0.0.0/0", "203.0.113.1"),
        ("lr-policy-add", name, "5", "ip4.src == 10.77.0.0/24", "drop"),
        ("ls-add", f"foreign-{router_id}"),
    ):
        ovn.nb.run("ovn-nbctl", *command)
    yield router_id
    ovn.nb.run("ovn-nbctl", "--if-exists", "lr-del", name)
    ovn.nb.run("ovn-nbctl", "--if-exists", "ls-del", f"swanherd-{router_id}")
    ovn.nb.run("ovn-nbctl", "--if-exists", "ls-del", f"foreign-{router_id}")


def wanted_of(
    router_id: RouterId,
    revision: int,
    pairs: Iterable[tuple[str, str]] = PAIRS,
    around: Surroundings = BOTH,
) -> Northbound:
    selectors = [TrafficSelector(*map(ipaddress.ip_network, pair)) for pair in pairs]
    return northbound_of(router_id, revision, "gateway-1", selectors, around)


def policies(ovn: Northd, router_id: RouterId) -> list[str]:
    listed = ovn.nb.run("ovn-nbctl", "lr-policy-list", f"neutron-{router_id}")
    return [line for line in listed.splitlines() if line.strip()[:1].isdigit()]


def dump(ovn: Northd) -> str:
    """Return all that is there but `up`, which northd writes in its own time."""
    tables = ("Logical_Switch", "Logical_Switch_Port", "Logical_Router_Port", "Logical_Router")
    on_router = ("Logical_Router_Policy", "Logical_Router_Static_Route")
    listed = (ovn.nb.run("ovn-nbctl", "list", t) for t in (*tables, *on_router))
    lines = "\n".join(listed).splitlines()
    return "\n".join(line for line in lines if line.partition(":")[0].strip() != "up")


def sync_until_settled(nb: Any, wanted: Northbound) -> Outcome:
    """Retry as the server does: a replica may be a moment behind."""
    for _ in range(50):
        try:
            return northbound.sync(nb, wanted)
        except Temporary:
            time.sleep(0.02)
    return northbound.sync(nb, wanted)


def test_a_sync_writes_once(ovn: Northd, nb: Any, router: RouterId) -> None:
    """After a sync everything is there; another one is no transaction at all."""
    assert sync_until_settled(nb, wanted_of(router, 1)) is Outcome.WRITTEN
    before = dump(ovn)
    assert northbound.sync(nb, wanted_of(router, 1)) is Outcome.SAME
    assert dump(ovn) == before
    # for each family a shield and what is decrypted, three for each pair, and the foreign one
    assert len(policies(ovn, router)) == 4 + 3 * len(PAIRS) + 1
    assert northbound.routers(nb)[router] == 1


def test_northd_understands_every_row(ovn: Northd, nb: Any, router: RouterId) -> None:
    """northd makes a flow of each policy, and says nothing."""
    before = ovn.logged()
    wanted = wanted_of(router, 1, around=Surroundings())
    sync_until_settled(nb, wanted)
    ovn.settle()
    flows = ovn.sb.run("ovn-sbctl", "lflow-list", f"neutron-{router}")
    policy_flows = [line for line in flows.splitlines() if "(lr_in_policy " in line]
    for policy in wanted.policies:
        assert any(f"match=({policy.match})" in line for line in policy_flows), policy.match
    assert ovn.complaints(before) == []


def test_what_is_wanted_no_longer_goes(ovn: Northd, nb: Any, router: RouterId) -> None:
    """A sync to fewer selectors removes exactly the policies of those that are gone."""
    sync_until_settled(nb, wanted_of(router, 1))
    northbound.sync(nb, wanted_of(router, 2, PAIRS[:1]))
    assert len(policies(ovn, router)) == 4 + 3 + 1
    assert not any("fd09" in line for line in policies(ovn, router))


def test_an_older_writer_loses(ovn: Northd, nb: Any, other_nb: Any, router: RouterId) -> None:
    """What a later revision has written isn't changed or removed by an earlier one."""
    sync_until_settled(nb, wanted_of(router, 5))
    before = dump(ovn)
    until(lambda: router in northbound.routers(other_nb))
    assert northbound.sync(other_nb, wanted_of(router, 4, PAIRS[:1])) is Outcome.NEWER
    assert northbound.remove(other_nb, router, 4) is Outcome.NEWER
    assert dump(ovn) == before


def test_writers_at_once_leave_the_newest(
    ovn: Northd, nb: Any, other_nb: Any, router: RouterId
) -> None:
    """Two processes that write many revisions at once leave the rows of the last, once each."""
    sync_until_settled(nb, wanted_of(router, 1, ()))

    def write(work: tuple[Any, int]) -> Outcome:
        api, revision = work
        pairs = [("10.1.0.0/24", f"10.{revision}.{n}.0/24") for n in range(3)]
        return sync_until_settled(api, wanted_of(router, revision, pairs))

    work = list(zip(itertools.cycle((nb, other_nb)), range(2, 30)))
    with futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(write, work))

    lines = [line.split() for line in policies(ovn, router)]
    steering = [line for line in lines if line[0] in ("1000", "900")]
    assert len(steering) == 6
    assert all("10.29." in line[7] for line in steering)
    assert northbound.routers(nb)[router] == 29


def test_writers_of_the_same_revision_write_it_once(
    ovn: Northd, nb: Any, other_nb: Any, router: RouterId
) -> None:
    """Two processes that repair the same drift leave no row twice."""
    sync_until_settled(nb, wanted_of(router, 1))
    until(lambda: router in northbound.routers(other_nb))
    ovn.nb.run("ovn-nbctl", "lr-policy-del", f"neutron-{router}")
    with futures.ThreadPoolExecutor(8) as pool:
        apis = [nb, other_nb] * 8
        list(pool.map(lambda api: sync_until_settled(api, wanted_of(router, 1)), apis))
    assert len(policies(ovn, router)) == 4 + 3 * len(PAIRS)


def test_drift_is_repaired(ovn: Northd, nb: Any, router: RouterId) -> None:
    """Whatever of our rows is changed or deleted comes back."""
    wanted = wanted_of(router, 1)
    sync_until_settled(nb, wanted)
    drifts = (
        ("lrp-del", wanted.router_port.name),
        ("lsp-del", wanted.namespace_port.name),
        ("ls-del", wanted.switch),
        ("lsp-set-options", wanted.namespace_port.name, "requested-chassis=other"),
        ("set", "Logical_Router_Port", wanted.router_port.name, "mac=02\\:00\\:00\\:00\\:00\\:99"),
        ("lr-policy-del", f"neutron-{router}", "1000"),
        ("lr-policy-del", f"neutron-{router}", "900"),
    )
    for drift in drifts:
        ovn.nb.run("ovn-nbctl", *drift)
        until(lambda: sync_until_settled(nb, wanted) is Outcome.WRITTEN)
        assert sync_until_settled(nb, wanted) is Outcome.SAME


def test_removal_leaves_nothing_and_touches_nothing_else(
    ovn: Northd, nb: Any, router: RouterId
) -> None:
    """After a removal the database is what it was before the first sync."""
    before = dump(ovn)
    sync_until_settled(nb, wanted_of(router, 3))
    assert dump(ovn) != before
    assert northbound.remove(nb, router, 3) is Outcome.WRITTEN
    assert dump(ovn) == before
    assert northbound.remove(nb, router, 3) is Outcome.SAME
    assert router not in northbound.routers(nb)


def test_without_the_router_there_is_still_the_switch_to_remove(
    ovn: Northd, nb: Any, router: RouterId
) -> None:
    """Neutron's removal of the router leaves our switch; it is found and removed."""
    wanted = wanted_of(router, 1)
    sync_until_settled(nb, wanted)
    ovn.nb.run("ovn-nbctl", "lr-del", f"neutron-{router}")

    def refused() -> bool:
        try:
            northbound.sync(nb, wanted)
        except Temporary as failure:
            return failure.reason.code == "ovn_router_missing"
        return False

    until(refused)
    assert northbound.routers(nb)[router] == 1
    northbound.remove(nb, router, 1)
    assert router not in northbound.routers(nb)
    assert wanted.switch not in ovn.nb.run("ovn-nbctl", "ls-list")


def test_default_routes_are_seen(ovn: Northd, nb: Any, router: RouterId) -> None:
    """A family has a default route when the router has one in its main table."""
    until(lambda: routing_of(nb, router).default_routes == {4})
    ovn.nb.run("ovn-nbctl", "lr-route-add", f"neutron-{router}", "::/0", "2001:db8::1")
    until(lambda: routing_of(nb, router).default_routes == {4, 6})


def test_where_the_routers_own_routes_lead_is_seen(ovn: Northd, nb: Any, router: RouterId) -> None:
    """One default route has a gateway; where all other routes lead is told, but not ours."""
    name = f"neutron-{router}"
    ovn.nb.run("ovn-nbctl", "lr-route-add", name, "10.4.0.0/16", "10.1.0.9")
    gateway = ipaddress.ip_address("203.0.113.1")
    until(lambda: len(routing_of(nb, router).routed) == 4)
    seen = routing_of(nb, router)
    assert seen.gateways == {gateway}
    assert {str(n) for n in seen.routed} == {
        *("10.1.0.0/24", "fd01::/64", "203.0.113.0/24", "10.4.0.0/16")
    }
    around = Surroundings(frozenset(), frozenset(), *_fields(seen))
    sync_until_settled(nb, wanted_of(router, 1, around=around))
    assert routing_of(nb, router) == seen
    ovn.nb.run("ovn-nbctl", "--ecmp", "lr-route-add", name, "0.0.0.0/0", "203.0.113.2")
    until(lambda: not routing_of(nb, router).gateways)


def _fields(routing: Routing) -> tuple[Any, ...]:
    return routing.default_routes, routing.gateways, routing.routed


def test_routes_to_the_namespace_come_and_go(ovn: Northd, nb: Any, router: RouterId) -> None:
    """A peer CIDR behind the gateway has a route, northd makes a flow of it, removal takes it."""
    before = ovn.logged()
    gateway = ipaddress.ip_address("203.0.113.1")
    around = Surroundings(default_routes=frozenset({4}), gateways=frozenset({gateway}))
    name = f"neutron-{router}"
    sync_until_settled(nb, wanted_of(router, 1, around=around))
    assert "10.9.0.0/24" in ovn.nb.run("ovn-nbctl", "lr-route-list", name)
    ovn.settle()
    flows = ovn.sb.run("ovn-sbctl", "lflow-list", name).splitlines()
    assert any("lr_in_ip_routing " in f and "10.9.0.0/24" in f and "169.254" in f for f in flows)
    assert any("lr_in_policy " in f and "(ip4.dst == 10.9.0.0/24)" in f for f in flows)
    assert ovn.complaints(before) == []
    assert northbound.sync(nb, wanted_of(router, 1, around=around)) is Outcome.SAME
    northbound.sync(nb, wanted_of(router, 2, PAIRS[1:], around))
    assert "10.9.0.0/24" not in ovn.nb.run("ovn-nbctl", "lr-route-list", name)
    northbound.sync(nb, wanted_of(router, 3, around=around))
    northbound.remove(nb, router, 3)
    assert "169.254" not in ovn.nb.run("ovn-nbctl", "lr-route-list", name)


def test_five_hundred_pairs_are_quick(nb: Any, router: RouterId) -> None:
    """500 pairs cost less than a second of our processor time, and one more a fraction of it."""
    pairs = [("10.1.0.0/24", f"10.{128 + n // 256}.{n % 256}.0/24") for n in range(501)]
    sync_until_settled(nb, wanted_of(router, 1, ()))
    gc.freeze()  # What hundreds of tests before have left isn't looked through for garbage.
    began = time.process_time()
    northbound.sync(nb, wanted_of(router, 2, pairs[:500]))
    written = time.process_time()
    northbound.sync(nb, wanted_of(router, 3, pairs))
    one_more = time.process_time()
    gc.unfreeze()
    assert northbound.sync(nb, wanted_of(router, 3, pairs)) is Outcome.SAME
    assert written - began < 1
    assert one_more - written < 0.5
    northbound.sync(nb, wanted_of(router, 4, ()))


def test_a_server_that_is_away_is_temporary(ovn: Northd, nb: Any, router: RouterId) -> None:
    """While the database can't be reached nothing hangs: a sync raises Temporary."""
    wanted = wanted_of(router, 1)
    sync_until_settled(nb, wanted)
    ovn.nb.stop()
    try:

        def away() -> bool:
            try:
                northbound.sync(nb, wanted)
            except Temporary:
                return True
            return False

        until(away)
    finally:
        ovn.nb.start()
    until(lambda: sync_until_settled(nb, wanted) is Outcome.SAME)


def test_the_gateway_is_where_ovn_binds_it(
    ovn: Northd, nb: Any, sb: Any, router: RouterId
) -> None:
    """The active host is the chassis that has claimed the redirect; candidates by priority."""
    gateway_port = str(uuid.uuid4())
    lrp = f"lrp-{gateway_port}"
    name = f"neutron-{router}"
    for number in (1, 2, 3):
        ovn.sb.run("ovn-sbctl", "chassis-add", f"c{number}", "geneve", f"192.0.2.{number}")
        ovn.sb.run("ovn-sbctl", "set", "Chassis", f"c{number}", f"hostname=host-{number}")
    ovn.nb.run("ovn-nbctl", "lrp-add", name, lrp, "02:00:00:00:02:01", "198.51.100.9/24")
    ovn.nb.run("ovn-nbctl", "lrp-set-gateway-chassis", lrp, "c1", "10")
    ovn.nb.run("ovn-nbctl", "lrp-set-gateway-chassis", lrp, "c2", "20")
    ovn.settle()
    candidates = ("host-2", "host-1")

    def found() -> Gateway:
        return southbound.gateway(nb, sb, router, gateway_port)

    until(lambda: found() == Gateway(None, candidates))
    ovn.sb.run("ovn-sbctl", "lsp-bind", f"cr-{lrp}", "c2")
    until(lambda: found() == Gateway("host-2", candidates))
    assert southbound.gateway(nb, sb, router, str(uuid.uuid4())) == Gateway()


def test_a_pinned_router_is_where_it_is_pinned(
    ovn: Northd, nb: Any, sb: Any, router: RouterId
) -> None:
    """A router without a redirect, pinned to a chassis, has its gateway there."""
    ovn.nb.run(
        "ovn-nbctl", "set", "Logical_Router", f"neutron-{router}", "options:chassis=chassis-1"
    )
    until(
        lambda: southbound.gateway(nb, sb, router, str(uuid.uuid4())) == Gateway("gateway-1", ())
    )


def test_neutron_can_move_the_gateway_of_a_router_with_our_port(
    ovn: Northd, nb: Any, router: RouterId
) -> None:
    """Its own code finds the networks that the router has, and nothing that isn't Neutron's."""
    for side, is_gateway in (("inside", "false"), ("outside", "true")):
        ids = (f"neutron\\:network_name=neutron-{side}", f"neutron\\:is_ext_gw={is_gateway}")
        settings = [f"external_ids:{each}" for each in ids]
        ovn.nb.run("ovn-nbctl", "set", "Logical_Router_Port", f"lrp-{side}-{router}", *settings)
    around = dataclasses.replace(BOTH, network_id="inside")
    sync_until_settled(nb, wanted_of(router, 1, around=around))
    linked: list[str] = []
    client = types.SimpleNamespace(
        _nb_idl=nb,
        link_network_ha_chassis_group=lambda _, network, __: linked.append(network),
    )
    OVNClient.update_router_ha_chassis_group(client, None, router)
    assert linked == ["inside"]
