import dataclasses
import ipaddress

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swanherd.core.failures import Permanent, Temporary
from swanherd.core.model import Reason, Role, RouterReport, RowStatus, Status
from swanherd.server.handler import AgentHandler
from swanherd.server.shown import AGENT_LOST, NO_ADDRESS
from tests.examples import times
from tests.unit.server.cloud import uuid

R1 = uuid("r1")


def report(cloud, status, *, ids=None, host="g1", revision=None, epoch=None, reason=None):
    """Let an agent report every row of router r1, or the ones named, as `status`."""
    row = cloud.row()
    services = [s["id"] for s in cloud.api.get_vpnservices(cloud.fresh())]
    connections = [c["id"] for c in cloud.api.get_ipsec_site_connections(cloud.fresh())]
    rows = [RowStatus(i, status, reason) for i in (*services, *connections)]
    value = RouterReport(
        router_id=R1,
        revision=row.revision if revision is None else revision,
        epoch=row.epoch if epoch is None else epoch,
        services=(),
        connections=tuple(r for r in rows if ids is None or r.id in ids),
    )
    cloud.intake.take(cloud.fresh(), host, [value])


def status(cloud, made):
    resource = "ipsec_site_connection" if "psk" in made else "vpnservice"
    shown = cloud.show(resource, made["id"])
    return shown["status"], shown["status_code"]


def placed(cloud):
    cloud.backend.host = "g1"
    cloud.backend.addresses = ("203.0.113.20", None)
    return cloud.connection()


def test_the_create_response_has_what_the_backend_made(cloud):
    """Clients read the public address from the response to POST."""
    cloud.backend.host = "g1"
    cloud.backend.addresses = ("203.0.113.20", "2001:db8::20")
    made = cloud.create("vpnservice")
    assert made["external_v4_ip"] == "203.0.113.20"
    assert made["external_v6_ip"] == "2001:db8::20"
    assert cloud.hints == [("g1", R1)]


def test_a_change_is_one_step_and_shows_until_it_is_applied(cloud):
    """PUT raises the revision and makes the row pending, in every status; names don't."""
    made = placed(cloud)
    for body, changes in (
        ({"psk": "other"}, True),
        ({"psk": "other"}, False),
        ({"name": "n", "description": "d"}, False),
        ({"admin_state_up": False}, True),
        ({"peer_cidrs": ["10.7.0.0/24", "10.6.0.0/24"]}, True),
        ({"peer_cidrs": ["10.6.0.1/24", "10.7.0.0/24"]}, False),
    ):
        report(cloud, Status.ACTIVE)
        assert status(cloud, made) == ("ACTIVE", None)
        before = cloud.row().revision
        shown = cloud.update("ipsec_site_connection", made["id"], **body)
        assert shown["status"] == ("PENDING_UPDATE" if changes else "ACTIVE")
        assert cloud.row().revision == before + changes


def test_a_policy_change_reaches_every_router_that_uses_it(cloud):
    """And no other."""
    cloud.backend.host = "g1"
    policy = cloud.create("ikepolicy")["id"]
    services = [cloud.create("vpnservice", router_id=uuid(name)) for name in ("r1", "r2")]
    ours = [cloud.connection(service, ikepolicy_id=policy) for service in services]
    other = cloud.connection(services[0])
    before = cloud.row("r1").revision, cloud.row("r2").revision
    report(cloud, Status.ACTIVE)
    cloud.hints.clear()
    cloud.update("ikepolicy", policy, lifetime={"value": 7200})
    assert (cloud.row("r1").revision, cloud.row("r2").revision) == tuple(r + 1 for r in before)
    assert {router_id for _, router_id in cloud.hints} == {R1, uuid("r2")}
    assert status(cloud, ours[0])[0] == "PENDING_UPDATE"
    assert status(cloud, other)[0] == "ACTIVE"


REPORTS = st.lists(
    st.tuples(
        st.sampled_from(["g1", "g2"]),
        st.integers(-2, 0),  # revision, relative to the router's
        st.integers(-1, 0),  # epoch, relative to the router's
        st.sampled_from([Status.ACTIVE, Status.PENDING_UPDATE, Status.DOWN, Status.ERROR]),
    ),
    max_size=6,
)


@settings(times(0.5), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(REPORTS)
def test_only_what_is_current_counts(cloud, reports):
    """After any reports a changed row shows the last current one, else that it is pending."""
    made = placed(cloud)
    service = made["vpnservice_id"]
    report(cloud, Status.ACTIVE)
    cloud.update("ipsec_site_connection", made["id"], psk="next")
    cloud.update("ipsec_site_connection", made["id"], psk="last")
    row, expected = cloud.row(), "PENDING_UPDATE"
    for host, revision, epoch, said in reports:
        report(cloud, said, host=host, revision=row.revision + revision, epoch=row.epoch + epoch)
        if (host, revision, epoch) == ("g1", 0, 0):
            expected = str(said)
    assert status(cloud, made)[0] == expected
    assert cloud.row() == row
    cloud.delete("ipsec_site_connection", made["id"])
    cloud.delete("vpnservice", service)
    assert cloud.row() is None


def test_active_waits_for_the_northbound_rows(cloud):
    """The tunnel alone isn't the VPN."""
    made = placed(cloud)
    cloud.backend.northbound = False
    cloud.update("ipsec_site_connection", made["id"], psk="other")
    report(cloud, Status.ACTIVE)
    assert status(cloud, made) == ("PENDING_CREATE", "northbound_pending")
    cloud.backend.northbound = True
    cloud.looker.look(R1)
    report(cloud, Status.ACTIVE)
    assert status(cloud, made) == ("ACTIVE", None)


def test_a_new_connection_is_down_only_after_a_while(cloud):
    """Heat takes the first DOWN for a failure."""
    made = placed(cloud)
    why = Reason("peer_silent", "The peer doesn't answer.", "Check its address.")
    report(cloud, Status.DOWN, reason=why)
    assert status(cloud, made) == ("PENDING_CREATE", "peer_silent")
    shown = cloud.show("ipsec_site_connection", made["id"])
    assert shown["status_reason"] == "The peer doesn't answer. Check its address."
    cloud.clock.advance(301)
    report(cloud, Status.DOWN, reason=why)
    assert status(cloud, made) == ("DOWN", "peer_silent")


def test_what_an_agent_says_of_a_change_that_is_not_carried_shows_with_its_cause(cloud):
    """An old tunnel that carries on is pending, one that can't be served an ERROR; both heal."""
    made = placed(cloud)
    report(cloud, Status.ACTIVE)
    cloud.update("ipsec_site_connection", made["id"], psk="other")
    for said, code in (
        (Status.PENDING_UPDATE, "swapping"),
        (Status.PENDING_UPDATE, "indistinguishable"),
        (Status.ERROR, "indistinguishable"),
        (Status.PENDING_UPDATE, "peer_refused"),
    ):
        report(cloud, said, reason=Reason(code, f"Because of {code}.", "Do this."))
        assert status(cloud, made) == (said, code)
        shown = cloud.show("ipsec_site_connection", made["id"])
        assert shown["status_reason"] == f"Because of {code}. Do this."
    report(cloud, Status.ACTIVE)
    assert status(cloud, made) == ("ACTIVE", None)


def test_a_problem_shows_at_once_and_heals(cloud):
    """What keeps the whole router from working is an ERROR of all its rows."""
    why = Reason("no_free_address", "The external network has no free address.")
    cloud.backend.failure = Permanent(R1, why)
    made = cloud.connection()
    assert made["status"] == "ERROR"
    assert made["status_code"] == "no_free_address"
    cloud.looker.look(R1)
    before = cloud.row().revision
    cloud.looker.look(R1)
    assert cloud.row().revision == before, "the same problem is no change"
    cloud.backend.failure = None
    cloud.backend.host = "g1"
    cloud.looker.look(R1)
    assert status(cloud, made) == ("PENDING_CREATE", None)


def test_a_passing_failure_hides_nothing_that_works(cloud):
    """A database that is away for a moment doesn't make a working tunnel an ERROR."""
    made = placed(cloud)
    report(cloud, Status.ACTIVE)
    cloud.backend.failure = Temporary(R1, Reason("ovn_away", "OVN doesn't answer."))
    cloud.looker.sweep(R1)
    assert status(cloud, made) == ("ACTIVE", None)
    cloud.update("ipsec_site_connection", made["id"], psk="other")
    assert status(cloud, made) == ("ERROR", "ovn_away")


def test_a_peer_of_a_family_without_an_address_is_an_error_of_that_connection_only(cloud):
    """The others of the router work."""
    made = placed(cloud)
    other = cloud.connection(
        cloud.show("vpnservice", made["vpnservice_id"]), peer_address="2001:db8::1"
    )
    assert status(cloud, other) == ("ERROR", NO_ADDRESS)
    report(cloud, Status.ACTIVE)
    assert status(cloud, made) == ("ACTIVE", None)
    assert status(cloud, other) == ("ERROR", NO_ADDRESS)
    cloud.backend.addresses = ("203.0.113.20", "2001:db8::20")
    cloud.looker.look(R1)
    assert status(cloud, other) == ("PENDING_CREATE", None)


def test_a_move_makes_all_pending_and_the_old_agent_unheard(cloud):
    """The epoch rises with each move, and only then."""
    made = placed(cloud)
    report(cloud, Status.ACTIVE)
    before = cloud.row()
    cloud.looker.look(R1)
    assert cloud.row() == before
    cloud.backend.host = "g2"
    cloud.hints.clear()
    cloud.looker.look(R1)
    assert cloud.row().epoch == before.epoch + 1
    assert cloud.hints == [("g1", R1), ("g2", R1)]
    assert status(cloud, made)[0] == "PENDING_UPDATE"
    report(cloud, Status.DOWN, host="g1", epoch=before.epoch)
    assert status(cloud, made)[0] == "PENDING_UPDATE"
    report(cloud, Status.ACTIVE, host="g2")
    assert status(cloud, made)[0] == "ACTIVE"


def test_what_a_lost_agent_had_is_down_until_it_is_back(cloud):
    """With the cause; routers of other agents don't change."""
    made = placed(cloud)
    report(cloud, Status.ACTIVE)
    cloud.intake.agents_lost(cloud.fresh(), {"g1"})
    assert status(cloud, made)[0] == "ACTIVE"
    cloud.intake.agents_lost(cloud.fresh(), {"g2"})
    assert status(cloud, made) == ("DOWN", AGENT_LOST)
    report(cloud, Status.ACTIVE)
    assert status(cloud, made) == ("ACTIVE", None)


def test_a_router_whose_last_service_goes_is_forgotten_and_its_revision_still_rises(cloud):
    """An agent never takes a VPN that is made again for the one before."""
    made = placed(cloud)
    cloud.delete("ipsec_site_connection", made["id"])
    last = cloud.row().revision
    cloud.delete("vpnservice", made["vpnservice_id"])
    assert cloud.row() is None
    cloud.clock.advance(1)
    placed(cloud)
    assert cloud.row().revision > last


def test_an_agent_learns_of_its_own_routers_only(cloud):
    """And of those everything: addresses, selectors, policies, the key."""
    made = placed(cloud)
    cloud.create("vpnservice", router_id=uuid("r2"))
    handler = AgentHandler(cloud.store, cloud.backend, cloud.intake)
    assert set(handler.get_revisions("g1")) == {R1, uuid("r2")}
    assert handler.get_revisions("g2") == {}
    assert handler.get_router("g2", R1) is None
    desired = handler.get_router("g1", R1)
    assert desired.revision == handler.get_revisions("g1")[R1] == cloud.row().revision
    (connection,) = desired.connections
    assert connection.id == made["id"]
    assert connection.psk.value == "secret"
    assert connection.selectors[0].local == ipaddress.ip_network("10.1.0.0/24")
    assert "secret" not in repr(desired)
    assert connection.up
    cloud.update("vpnservice", made["vpnservice_id"], admin_state_up=False)
    (connection,) = handler.get_router("g1", R1).connections
    assert not connection.up
    assert connection.selectors, "what is down is still guarded"


def test_what_was_applied_before_an_older_database_was_restored_is_no_news(cloud):
    """Its agent tells of a revision that the router hasn't reached; what it tells next counts."""
    made = placed(cloud)
    report(cloud, Status.ACTIVE, revision=cloud.row().revision + 50)
    assert status(cloud, made)[0] == "PENDING_CREATE"
    report(cloud, Status.ACTIVE)
    assert status(cloud, made) == ("ACTIVE", None)
    cloud.update("ipsec_site_connection", made["id"], psk="other")
    report(cloud, Status.ACTIVE)
    assert status(cloud, made) == ("ACTIVE", None)


def test_what_one_connection_lacks_is_its_own_error(cloud):
    """A cause of one connection isn't the router's: the others stay ACTIVE, at their revision."""
    made = placed(cloud)
    other = cloud.connection(cloud.show("vpnservice", made["vpnservice_id"]))
    report(cloud, Status.ACTIVE)
    before = cloud.row().revision
    cause = Reason("default_route_missing", "why")
    for _ in range(2):
        cloud.store.set_row_problems(cloud.fresh(), R1, {made["id"]: cause})
    assert cloud.row().revision == before + 1
    assert status(cloud, made) == ("ERROR", "default_route_missing")
    assert status(cloud, other) == ("ACTIVE", None)
    assert cloud.show("vpnservice", made["vpnservice_id"])["status"] == "ACTIVE"
    desired = AgentHandler(cloud.store, cloud.backend, cloud.intake).get_router("g1", R1)
    assert dict(desired.problems) == {made["id"]: cause}
    report(cloud, Status.ACTIVE)
    assert status(cloud, made) == ("ERROR", "default_route_missing")
    cloud.store.set_row_problems(cloud.fresh(), R1, {})
    cloud.looker.look(R1)
    report(cloud, Status.ACTIVE)
    assert status(cloud, made) == status(cloud, other) == ("ACTIVE", None)


def test_looking_at_a_router_costs_the_same_whatever_it_has(cloud, engine):
    """A constant number of queries for desired state and for reports."""
    queries = []

    def count(*arguments):
        queries.append(arguments[2])

    sa.event.listen(engine, "before_cursor_execute", count)
    handler = AgentHandler(cloud.store, cloud.backend, cloud.intake)
    made = placed(cloud)
    counts = []
    for more in (3, 0):
        queries.clear()
        handler.get_router("g1", R1)
        reads = len(queries)
        queries.clear()
        report(cloud, Status.ACTIVE)
        report_reads = [q for q in queries if q.startswith("SELECT")]
        counts.append((reads, len(report_reads)))
        for _ in range(more):
            cloud.connection(cloud.show("vpnservice", made["vpnservice_id"]))
    sa.event.remove(engine, "before_cursor_execute", count)
    assert counts[0] == counts[1]


def test_a_new_connection_loads_no_other_one(cloud):
    """Nor does a report: of the others columns are read, since objects cost far more."""
    made = placed(cloud)
    service = cloud.show("vpnservice", made["vpnservice_id"])
    loaded = []

    def count(target, context):
        loaded.append(type(target).__name__)

    counts = []
    for more in (9, 0):
        cloud.connection(service)
        loaded.clear()
        sa.event.listen(sa.orm.Mapper, "load", count)
        cloud.connection(service)
        cloud.store.router_traffic(cloud.fresh(), R1)
        cloud.store.set_row_problems(cloud.fresh(), R1, {})
        report(cloud, Status.ACTIVE, ids={made["id"]})
        sa.event.remove(sa.orm.Mapper, "load", count)
        counts.append(sorted(loaded))
        for _ in range(more):
            cloud.connection(service)
    assert counts[0] == counts[1]


def test_services_of_another_plugin_are_taken_in(cloud, engine):
    """Rows that neutron-vpnaas left get what we need beside them."""
    made = placed(cloud)
    with engine.begin() as connection:
        for table in ("swanherd_routers", "swanherd_statuses"):
            connection.execute(sa.text(f"DELETE FROM {table}"))
    assert cloud.store.adopt(cloud.fresh()) == (R1,)
    assert cloud.store.adopt(cloud.fresh()) == ()
    cloud.looker.look(R1)
    report(cloud, Status.ACTIVE)
    assert status(cloud, made) == ("ACTIVE", None)


def test_routers_of_another_plugin_wait_to_be_asked_for(cloud, engine):
    """On request none is taken in by the sweep, one by its name; then its new services are too."""
    placed(cloud)
    with engine.begin() as connection:
        for table in ("swanherd_routers", "swanherd_statuses"):
            connection.execute(sa.text(f"DELETE FROM {table}"))
    assert cloud.store.adopt(cloud.fresh(), new=False) == ()
    assert cloud.store.adopt(cloud.fresh(), only="another") == ()
    assert cloud.store.adopt(cloud.fresh(), only=R1) == (R1,)
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM swanherd_statuses"))
    assert cloud.store.adopt(cloud.fresh(), new=False) == (R1,)


def test_a_router_that_is_let_go_keeps_its_services(cloud):
    """Only what is ours of it is forgotten; it may be taken in again."""
    made = placed(cloud)
    cloud.store.let_go(cloud.fresh(), R1)
    assert cloud.store.list_router_rows(cloud.fresh()) == ()
    assert cloud.show("ipsec_site_connection", made["id"])["id"] == made["id"]
    assert cloud.store.adopt(cloud.fresh(), new=False) == ()
    assert cloud.store.adopt(cloud.fresh()) == (R1,)


def standing_by(cloud, *hosts):
    cloud.store.set_placement(cloud.fresh(), R1, "g1", hosts)


def test_a_standby_has_the_router_in_its_role_and_is_told_of_each_change(cloud):
    """It learns the same as who serves; a host that is no candidate any more learns nothing."""
    made = placed(cloud)
    standing_by(cloud, "g2", "g3")
    handler = AgentHandler(cloud.store, cloud.backend, cloud.intake)
    revision = cloud.row().revision
    for host, role in (("g1", Role.ACTIVE), ("g2", Role.STANDBY), ("g3", Role.STANDBY)):
        assert handler.get_revisions(host) == {R1: revision}
        assert handler.get_router(host, R1).role is role
    assert handler.get_revisions("g4") == {}
    assert handler.get_router("g4", R1) is None
    cloud.hints.clear()
    cloud.backend.standbys = ("g2",)
    cloud.update("ipsec_site_connection", made["id"], psk="other")
    assert {"g1", "g2", "g3"} == {host for host, _ in cloud.hints}
    assert handler.get_router("g3", R1) is None


def test_what_a_standby_says_is_its_readiness_and_no_status(cloud):
    """Ready means: of the present revision. The status stays the serving agent's word."""
    made = placed(cloud)
    report(cloud, Status.ACTIVE)
    standing_by(cloud, "g2")
    row = cloud.row()
    assert (row.host, row.standbys, row.ready) == ("g1", ("g2",), {"g1"} & row.ready)
    value = RouterReport(
        router_id=R1,
        revision=row.revision,
        epoch=row.epoch,
        services=(),
        connections=(RowStatus(made["id"], Status.DOWN, None),),
        role=Role.STANDBY,
    )
    cloud.intake.take(cloud.fresh(), "g2", [value])
    assert "g2" in cloud.row().ready
    assert status(cloud, made)[0] == "ACTIVE"
    cloud.intake.take(cloud.fresh(), "g2", [dataclasses.replace(value, ready=False)])
    assert "g2" not in cloud.row().ready
    cloud.intake.take(cloud.fresh(), "g2", [value])
    cloud.update("ipsec_site_connection", made["id"], psk="other")
    assert "g2" not in cloud.row().ready


def test_a_move_to_a_standby_keeps_the_other_as_one(cloud):
    """The epoch rises, a pin stays until it is taken back by who saw it."""
    placed(cloud)
    standing_by(cloud, "g2")
    before = cloud.row()
    cloud.store.pin(cloud.fresh(), R1, "g2")
    cloud.store.set_placement(cloud.fresh(), R1, "g2", ("g1",))
    row = cloud.row()
    assert (row.host, row.standbys, row.pin) == ("g2", ("g1",), "g2")
    assert row.epoch == before.epoch + 1
    cloud.store.unpin(cloud.fresh(), R1, "g1")
    assert cloud.row().pin == "g2"
    cloud.store.unpin(cloud.fresh(), R1, "g2")
    assert cloud.row().pin is None


def test_a_router_that_is_forgotten_has_no_candidates(cloud):
    """Nothing of it is left for who makes it again."""
    service = cloud.create("vpnservice")
    standing_by(cloud, "g2")
    cloud.delete("vpnservice", service["id"])
    assert cloud.store.list_rows_of_host(cloud.fresh(), "g2") == ()


def unsettled(cloud):
    handler = AgentHandler(cloud.store, cloud.backend, cloud.intake)
    return set(handler.get_router("g1", R1).unsettled)


def test_an_agent_is_told_of_which_rows_the_server_waits_to_hear(cloud):
    """Of all that aren't shown as ACTIVE at their revision, whatever was reported before."""
    one = placed(cloud)
    other = cloud.connection({"id": one["vpnservice_id"]}, peer_cidrs=["10.77.0.0/24"])
    both = {one["id"], other["id"]}
    assert unsettled(cloud) == both
    report(cloud, Status.ACTIVE, ids={one["id"]})
    waits = unsettled(cloud)
    assert waits == {row["id"] for row in (one, other) if status(cloud, row)[0] != "ACTIVE"}
    report(cloud, Status.ACTIVE)
    assert unsettled(cloud) == set()
    cloud.update("ipsec_site_connection", one["id"], psk="other")
    assert unsettled(cloud) == {one["id"]}
    report(cloud, Status.ACTIVE)
    report(cloud, Status.DOWN, ids={other["id"]}, reason=Reason("peer_unreachable", "No answer."))
    assert unsettled(cloud) == {other["id"]}
    cloud.intake.agents_lost(cloud.fresh(), {"g2"})
    assert unsettled(cloud) == both


def test_agents_are_told_in_the_middle_of_a_look(cloud):
    """Before what takes the server long: whoever has the router now, without another look."""
    placed(cloud)
    cloud.hints.clear()
    cloud.backend.failure = Temporary(R1, Reason("looked", "It was looked at."))
    cloud.looker.tell(R1)
    assert cloud.hints == [("g1", R1)]
    cloud.hints.clear()
    cloud.looker.tell(uuid("no such router"))
    assert cloud.hints == []
