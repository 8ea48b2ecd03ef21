"""Routers of L3 agents: where they are is Neutron's to say, and the agents' that have them."""

import ipaddress

import pytest

from swanherd.core.model import Home, HomeNamespace, Role, RouterReport, Status
from tests.unit.server.cloud import uuid
from tests.unit.server.l3 import R1, claim, serving


def test_a_legacy_router_is_served_by_the_host_that_it_is_bound_to(cloud, neutron, served):
    """By its own external address; other hosts learn no more than that it isn't theirs."""
    neutron.router()
    neutron.bind("a")
    service = cloud.create("vpnservice")
    assert service["external_v4_ip"] == "10.2.0.99"
    assert cloud.row().host == "a"
    desired = served.get_router("a", R1)
    assert desired.home.namespace is HomeNamespace.ROUTER
    assert desired.home.connected == (ipaddress.ip_network("10.1.0.0/24"),)
    assert str(desired.public.addresses[0]) == "10.2.0.99/24"
    assert (desired.transit, desired.public.port_id) == (None, uuid("gw"))
    assert_elsewhere(served.get_router("b", R1))


def assert_elsewhere(desired):
    """What a host is told of a router with a VPN that it doesn't have: that, and no secret."""
    assert desired.home == Home(namespace=None)
    assert (desired.services, desired.connections, desired.public) == ((), (), None)
    assert not desired.naming_key.value


def test_every_host_of_a_redundant_router_stands_ready(cloud, neutron, served):
    """The one that Neutron calls active serves first."""
    neutron.router(ha=True)
    neutron.bind("a", "standby")
    neutron.bind("b", "active")
    cloud.connection()
    assert cloud.row().host == "b"
    homes = [served.get_router(host, R1).home for host in "ab"]
    assert all(home.redundant and home.namespace is HomeNamespace.ROUTER for home in homes)
    assert {host for host, _ in cloud.hints} >= {"a", "b"}


def test_who_has_the_address_says_so_and_is_believed_before_neutron(cloud, neutron, served):
    """A report of an active host moves a redundant router; a look doesn't move it back."""
    neutron.router(ha=True)
    neutron.bind("a", "standby")
    neutron.bind("b", "active")
    cloud.connection()
    before = cloud.row()
    report = RouterReport(R1, before.revision, before.epoch, (), (), role=Role.ACTIVE)
    served.report_status("a", [report])
    assert (cloud.row().host, cloud.row().epoch) == ("a", before.epoch + 1)
    cloud.looker.look(R1)
    assert cloud.row().host == "a"
    served.report_status("c", [report])
    assert cloud.row().host == "a"


def test_no_agent_claims_a_router_that_isnt_redundant(cloud, neutron, served):
    """Unless Neutron has moved it there."""
    neutron.router()
    neutron.bind("a")
    cloud.connection()
    report = RouterReport(R1, 1, 1, (), (), role=Role.ACTIVE)
    served.report_status("b", [report])
    assert cloud.row().host == "a"


def test_a_distributed_routers_compute_nodes_steer(cloud, neutron, served, scheduler):
    """The node of the gateway has the central part; each node of a workload gets the detours."""
    neutron.router(distributed=True)
    neutron.bind("a")
    scheduler.notified = ["a", "c"]
    cloud.connection()
    central, compute = (served.get_router(host, R1).home for host in "ac")
    assert (central.namespace, compute.namespace) == (HomeNamespace.CENTRAL, None)
    (detour,) = compute.detours
    assert (detour.port_id, str(detour.gateway)) == (uuid("in"), "10.1.0.9")
    assert ("c", R1) in cloud.hints
    assert_elsewhere(served.get_router("b", R1))


def test_what_keeps_a_router_from_being_served_is_named(cloud, neutron, served, engine):
    """No L3 agent has it; the one that has it doesn't load the extension."""
    neutron.router()
    connection = cloud.connection()
    shown = cloud.show("ipsec_site_connection", connection["id"])
    assert (shown["status"], shown["status_code"]) == ("ERROR", "router_not_scheduled")
    neutron.agent("d")
    neutron.bind("d")
    cloud.looker.look(R1)
    shown = cloud.show("ipsec_site_connection", connection["id"])
    assert (shown["status"], shown["status_code"]) == ("ERROR", "no_agent")


def test_revisions_are_told_of_the_routers_that_neutron_gave_the_host(cloud, neutron, served):
    """By Neutron's own list, which knows of distributed parts too."""
    neutron.router()
    neutron.bind("a")
    cloud.connection()
    assert served.get_revisions("a") == {R1: cloud.row().revision}


def test_a_router_without_vpnservices_is_forgotten(cloud, neutron, served):
    """Its hosts are told, and have nothing to do with it any more."""
    neutron.router()
    neutron.bind("a")
    service = cloud.create("vpnservice")
    cloud.hints.clear()
    cloud.delete("vpnservice", service["id"])
    assert cloud.row() is None
    assert ("a", R1) in cloud.hints
    assert served.get_router("a", R1) is None


def test_while_two_have_the_address_the_router_is_where_it_came_last(cloud, split):
    """However often each says that it serves: else each word would move it."""
    for seconds in range(0, 90, 3):
        split.report_status("a", [claim(100.0 + seconds)])
        cloud.clock.advance(1)
        split.report_status("b", [claim(10.0 + seconds)])
        cloud.clock.advance(2)
        assert cloud.row().host == "b"
    assert cloud.row().epoch == 2


def test_who_had_it_all_along_gets_the_router_when_the_other_gives_it_up(cloud, split):
    """The agents are told that something changed, so that it says again that it serves."""
    split.report_status("b", [claim(10.0)])
    split.report_status("a", [claim(100.0)])
    revision = cloud.row().revision
    cloud.hints.clear()
    split.report_status("a", [claim(role=Role.STANDBY)])
    assert (cloud.row().host, cloud.row().revision, cloud.hints) == ("b", revision, [])
    split.report_status("b", [claim(role=Role.STANDBY)])
    assert cloud.row().revision > revision
    assert {host for host, _ in cloud.hints} >= {"a", "b"}
    split.report_status("b", [claim(role=Role.STANDBY)])
    split.report_status("a", [claim(101.0)])
    assert cloud.row().host == "a"


def test_what_a_host_said_whose_agent_is_gone_holds_for_nothing(cloud, split, neutron):
    """Its claim was the later one, but it died: the other serves."""
    split.report_status("b", [claim(10.0)])
    neutron.silence("b")
    split.report_status("a", [claim(100.0)])
    assert cloud.row().host == "a"


def test_a_report_that_was_late_on_the_bus_is_put_right_by_the_next(cloud, split):
    """It looks as if the host had got the address later than it did."""
    split.report_status("b", [claim(10.0)])
    cloud.clock.advance(60)
    split.report_status("a", [claim(5.0)])
    assert cloud.row().host == "a"
    split.report_status("a", [claim(165.0)])
    split.report_status("b", [claim(70.0)])
    assert cloud.row().host == "b"


def test_an_agent_that_does_not_say_since_when_is_believed(cloud, split):
    """It is of an older release."""
    split.report_status("b", [claim(10.0)])
    for host in "aba":
        split.report_status(host, [claim()])
        assert cloud.row().host == host


def test_who_got_the_address_first_is_told_that_the_other_serves(cloud, split):
    """For how long; by the role that it has then, too, and the other is told of nobody."""
    assert split.report_status("b", [claim(10.0)]) == {}
    assert split.report_status("b", [serving(cloud, 10.0)]) == {}
    cloud.clock.advance(5)
    assert split.report_status("a", [claim(100.0)]) == {R1: 15.0}
    assert split.report_status("a", [claim(100.0, Role.STANDBY)]) == {R1: 15.0}
    assert split.report_status("b", [serving(cloud, 15.0)]) == {}
    assert split.report_status("a", [claim(role=Role.STANDBY)]) == {}


@pytest.mark.parametrize("status", [Status.DOWN, Status.PENDING_UPDATE, Status.ERROR])
def test_nobody_is_silent_for_one_that_has_no_tunnel(cloud, split, status):
    """It may be the one that is cut off: then the other is all that there is."""
    split.report_status("b", [claim(10.0)])
    split.report_status("b", [serving(cloud, 10.0, status)])
    assert split.report_status("a", [claim(100.0)]) == {}


def test_what_was_up_before_the_router_moved_proves_nothing(cloud, split):
    """The status is of the one that had it."""
    split.report_status("a", [serving(cloud, 90.0)])
    split.report_status("b", [claim(10.0)])
    assert split.report_status("a", [claim(100.0)]) == {}


def test_who_is_silent_serves_again_when_the_other_is_gone(cloud, split, neutron):
    """It says all the time that it has the address, so the router is its own then."""
    split.report_status("b", [claim(10.0)])
    split.report_status("b", [serving(cloud, 10.0)])
    assert split.report_status("a", [claim(100.0, Role.STANDBY)]) == {R1: 10.0}
    neutron.silence("b")
    assert split.report_status("a", [claim(120.0, Role.STANDBY)]) == {}
    assert cloud.row().host == "a"


def test_who_is_silent_serves_again_when_the_other_stands_by(cloud, split):
    """Or has no tunnel any more."""
    split.report_status("b", [claim(10.0)])
    split.report_status("b", [serving(cloud, 10.0)])
    assert split.report_status("a", [claim(100.0, Role.STANDBY)]) == {R1: 10.0}
    split.report_status("b", [serving(cloud, 20.0, Status.DOWN)])
    assert split.report_status("a", [claim(120.0, Role.STANDBY)]) == {}
    split.report_status("b", [serving(cloud, 20.0)])
    split.report_status("b", [claim(role=Role.STANDBY)])
    assert split.report_status("a", [claim(120.0, Role.STANDBY)]) == {}
    assert cloud.row().host == "a"
