import dataclasses
import ipaddress

import pytest

from swanherd.core.diagnosis import diagnose, worst
from swanherd.core.findings import Answer, ClockSeen, Facts, PathSeen, Verdict
from swanherd.core.home import network_of
from swanherd.core.ike import ChildSa, Fault, IkeSa, ObservedCharon, SaState
from swanherd.core.model import (
    DataPlane,
    Home,
    HomeNamespace,
    Reason,
    Role,
    RouterReport,
    RowStatus,
    Status,
    Transform,
)
from swanherd.core.naming import child_name
from swanherd.core.peering import ike_config, peerings
from swanherd.core.planner import Observed, Plan, options_of, plan
from swanherd.core.tunnels import Timing
from swanherd.testing import builders as make
from tests.unit.core.seen import network as as_wanted

OK = Verdict.OK
PLANE = DataPlane.KERNEL
CONNECTION = make.connection("c")
DESIRED = make.desired(CONNECTION, revision=7)
(PEERING,) = peerings(DESIRED)
GOOD_PATH = PathSeen(
    "ex0 via 203.0.113.1",
    ((500, Answer.ANSWERED), (4500, Answer.ANSWERED)),
    echo=True,
    largest=1500,
)


def sa(**changes):
    """Return the IKE SA of the connection with all its children."""
    children = tuple(
        ChildSa(name, n, SaState.INSTALLED) for n, name in enumerate(PEERING.children)
    )
    fields = {
        "config": PEERING.config.name,
        "unique_id": 1,
        "state": SaState.ESTABLISHED,
        "initiator": True,
        "local_host": "203.0.113.2",
        "remote_host": "198.51.100.2",
        "busy": False,
        "children": children,
        "age": 12,
        "remote_port": 500,
    }
    return IkeSa(**(fields | changes))


def healthy():
    wanted = network_of(DESIRED, PLANE)
    network = as_wanted(wanted)
    config = PEERING.config
    charon = ObservedCharon(
        running=True,
        options=options_of(DESIRED, PLANE),
        configs=frozenset(
            {make_loaded(config)},
        ),
        secrets=frozenset({config.connection.id}),
        ike_sas=(sa(),),
    )
    observed = Observed(network, charon)
    return Facts(
        desired=DESIRED,
        observed=observed,
        plan=plan(DESIRED, observed, PLANE, Timing(100.0)),
        plane=PLANE,
        now=100.0,
        clock=ClockSeen(synchronised=True, stepped=0.0),
        report=RouterReport(DESIRED.id, 7, 1, (), (RowStatus(CONNECTION.id, Status.ACTIVE),)),
        paths={CONNECTION.peer_address: GOOD_PATH},
    )


def make_loaded(config):
    from swanherd.core.ike import LoadedConfig

    return LoadedConfig(config.name, frozenset(name for name, _ in config.children))


def charon(facts, **changes):
    seen = dataclasses.replace(facts.observed.charon, **changes)
    return dataclasses.replace(facts, observed=Observed(facts.observed.network, seen))


def network(facts, **changes):
    seen = dataclasses.replace(facts.observed.network, **changes)
    return dataclasses.replace(facts, observed=Observed(seen, facts.observed.charon))


def path(facts, **changes):
    seen = dataclasses.replace(GOOD_PATH, **changes)
    return dataclasses.replace(facts, paths={CONNECTION.peer_address: seen})


def reported(facts, status, reason):
    rows = (RowStatus(CONNECTION.id, status, reason),)
    return dataclasses.replace(facts, report=dataclasses.replace(facts.report, connections=rows))


def test_a_healthy_router_has_no_finding_but_good_ones():
    """Everything that was looked at is ok, and there is something about each part."""
    found = diagnose(healthy())
    assert {f.verdict for f in found} == {Verdict.OK}
    assert worst(found) is Verdict.OK
    checks = {f.check for f in found}
    assert checks >= {"guard", "charon", "plan", "clock", "path MTU", "NAT", "child SAs"}


FAULTS = {
    "charon is dead": (lambda f: charon(f, running=False), "charon", Verdict.FAILED),
    "no namespace": (lambda f: network(f, exists=False), "namespace", Verdict.FAILED),
    "no guard": (lambda f: network(f, guard=None), "guard", Verdict.FAILED),
    "a route is gone": (lambda f: network(f, routes=frozenset()), "routes", Verdict.FAILED),
    "a rule is gone": (lambda f: network(f, rules=frozenset()), "rules", Verdict.FAILED),
    "a link is gone": (lambda f: network(f, links=frozenset()), "link ex0", Verdict.FAILED),
    "not loaded": (
        lambda f: charon(f, configs=frozenset()),
        "loaded in charon",
        Verdict.FAILED,
    ),
    "no key": (lambda f: charon(f, secrets=frozenset()), "loaded in charon", Verdict.FAILED),
    "no IKE SA": (lambda f: charon(f, ike_sas=()), "IKE SA", Verdict.FAILED),
    "no child": (lambda f: charon(f, ike_sas=(sa(children=()),)), "child SAs", Verdict.FAILED),
    "refused": (
        lambda f: charon(
            f, faults=(Fault(PEERING.config.name, "psk_mismatch", "no", "compare", 1, 99),)
        ),
        "last error",
        Verdict.FAILED,
    ),
    "reported down": (
        lambda f: reported(f, Status.DOWN, Reason("peer_silent", "It is silent.", "Ask it.")),
        "status",
        Verdict.FAILED,
    ),
    "a swap": (
        lambda f: reported(f, Status.PENDING_UPDATE, Reason("swapping", "Wait.")),
        "status",
        Verdict.WARNING,
    ),
    "a turn failed": (
        lambda f: dataclasses.replace(f, failed=Reason("bridge_missing", "No br-int.")),
        "last error",
        Verdict.FAILED,
    ),
    "a change isn't applied": (
        lambda f: dataclasses.replace(f, desired=dataclasses.replace(f.desired, revision=8)),
        "revision",
        Verdict.WARNING,
    ),
    "the server knows why": (
        lambda f: dataclasses.replace(
            f,
            desired=dataclasses.replace(
                f.desired, problems=((CONNECTION.id, Reason("x", "No address.")),)
            ),
        ),
        "server's problem",
        Verdict.FAILED,
    ),
    "no way": (lambda f: path(f, route=None), "route to the peer", Verdict.FAILED),
    "a small path": (lambda f: path(f, largest=1400), "path MTU", Verdict.WARNING),
    "the clock was set": (
        lambda f: dataclasses.replace(f, clock=ClockSeen(True, 3600.0)),
        "clock",
        Verdict.WARNING,
    ),
    "the clock runs free": (
        lambda f: dataclasses.replace(f, clock=ClockSeen(False, 0.0)),
        "clock",
        Verdict.WARNING,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_a_finding_of_its_own(name):
    """The finding that the fault concerns changes, and the whole is as bad as that."""
    break_it, check, verdict = FAULTS[name]
    found = diagnose(break_it(healthy()))
    assert verdict in {f.verdict for f in found if f.check == check}
    assert worst(found) in (verdict, Verdict.FAILED)


SILENT = ((500, Answer.SILENT), (4500, Answer.SILENT))
REFUSED = ((500, Answer.REFUSED), (4500, Answer.SILENT))


@pytest.mark.parametrize(
    ("ports", "echo", "up", "verdict"),
    [
        (SILENT, True, False, Verdict.WARNING),
        (SILENT, False, False, Verdict.WARNING),
        (REFUSED, False, False, Verdict.FAILED),
        (SILENT, False, True, Verdict.OK),
    ],
    ids=["ping only", "nothing", "refused", "but a tunnel is up"],
)
def test_a_peer_that_does_not_answer_is_no_failure_by_itself(ports, echo, up, verdict):
    """An ICMP error is one; and a live SA proves the way, whatever a firewall drops."""
    facts = path(healthy(), ports=ports, echo=echo)
    if not up:
        facts = charon(facts, ike_sas=())
    (found,) = (f for f in diagnose(facts) if f.check == "peer reached")
    assert found.verdict is verdict


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "none"),
        ({"nat_local": True}, "in front of this node"),
        ({"nat_remote": True, "remote_port": 40000}, "in front of the peer"),
        ({"nat_remote": True, "remote_port": 4500}, "UDP encapsulation"),
    ],
)
def test_nat_is_told_by_the_live_sa(changes, text):
    """Where NAT detection found one."""
    facts = charon(healthy(), ike_sas=(sa(**changes),))
    (found,) = (f for f in diagnose(facts) if f.check == "NAT")
    assert text in found.seen


def test_nat_is_told_of_a_peer_that_may_have_any_address_too():
    """It is such peers that most have one in front of them."""
    anybody = dataclasses.replace(CONNECTION, peer_address="0.0.0.0", peer_id="a@example.org")
    desired = dataclasses.replace(DESIRED, connections=(anybody,))
    config = ike_config(anybody, desired.naming_key).name
    behind = dataclasses.replace(sa(nat_remote=True, remote_port=40000), config=config)
    facts = dataclasses.replace(charon(healthy(), ike_sas=(behind,)), desired=desired)
    (found,) = (f for f in diagnose(facts) if f.check == "NAT")
    assert found.seen == "in front of the peer (its port is 40000)"


def test_one_connection_can_be_asked_for_alone():
    """Then nothing is said of the others, but all of the router."""
    other = make.connection("d", peer_address="198.51.100.3", peer_id="198.51.100.3")
    desired = dataclasses.replace(DESIRED, connections=(CONNECTION, other))
    found = diagnose(dataclasses.replace(healthy(), desired=desired), other.id)
    assert {f.subject for f in found} == {"router", other.id}


def test_no_finding_tells_a_key():
    """Whatever is wrong."""
    for break_it, _, _ in FAULTS.values():
        assert CONNECTION.psk.value not in repr(diagnose(break_it(healthy())))


def at_home(namespace):
    """Return what is known of a router in a namespace of Neutron's, as it should be."""
    home = Home(namespace, connected=(ipaddress.ip_network("10.1.0.0/24"),))
    desired = dataclasses.replace(DESIRED, transit=None, home=home)
    wanted = network_of(desired, PLANE)
    facts = network(
        healthy(), links=wanted.links, routes=wanted.routes, rules=wanted.rules, guard=wanted.guard
    )
    return charon(dataclasses.replace(facts, desired=desired), options=options_of(desired, PLANE))


def test_a_router_in_a_namespace_of_neutrons_is_compared_with_what_is_wanted_there():
    """It has no links of ours; nothing is missing, and what is missing is told."""
    facts = at_home(HomeNamespace.ROUTER)
    found = diagnose(facts)
    assert {f.verdict for f in found} == {Verdict.OK}
    bad = [f.check for f in diagnose(network(facts, rules=frozenset())) if f.verdict is not OK]
    assert bad == ["rules"]


def test_where_the_tunnels_are_elsewhere_nothing_is_said_of_them_but_where():
    """A standby, and a namespace that only steers: no connection fails for being elsewhere."""
    standby = dataclasses.replace(DESIRED, role=Role.STANDBY)
    silent = network_of(standby, PLANE).guard
    waiting = network(charon(healthy(), ike_sas=()), guard=silent)
    for facts in (
        dataclasses.replace(waiting, desired=standby),
        charon(at_home(None), running=False, ike_sas=(), configs=frozenset()),
    ):
        found = diagnose(facts)
        assert {f.verdict for f in found} == {Verdict.OK}
        assert {f.subject for f in found} == {"router"}
        (role,) = (f for f in found if f.check == "role")
        assert "Ask the agent of the node" in role.hint


def test_where_no_node_can_serve_a_router_nobody_is_sent_to_another():
    """Without a public address every agent stands by: the server's problem is what counts."""
    why = Reason("public_port_no_address", "There is none.", "Free one.")
    problems = (("c", why),)
    alone = dataclasses.replace(DESIRED, role=Role.STANDBY, public=None, problems=problems)
    found = diagnose(dataclasses.replace(healthy(), desired=alone))
    (role,) = (each for each in found if each.check == "role")
    assert (role.verdict, role.seen) == (Verdict.FAILED, "no node serves it")
    (told,) = (each for each in found if each.check == "server's problem")
    assert (told.subject, told.verdict, told.hint) == ("c", Verdict.FAILED, "Free one.")
    assert "Ask the agent" not in "".join(each.hint for each in found)


def test_networks_that_no_child_carries_are_named():
    """Of two pairs one is up; an operator reads which one isn't."""
    pairs = tuple(make.selector("10.1.0.0/24", f"10.{n}.0.0/24") for n in (2, 3))
    both = dataclasses.replace(CONNECTION, selectors=pairs)
    facts = dataclasses.replace(healthy(), desired=make.desired(both, revision=7))
    (peering,) = peerings(facts.desired)
    up = child_name(pairs[0], both.ipsec)
    live = sa(config=peering.config.name, children=(ChildSa(up, 1, SaState.INSTALLED),))
    (found,) = (f for f in diagnose(charon(facts, ike_sas=(live,))) if f.check == "child SAs")
    assert (found.verdict, found.seen, found.wanted) == (Verdict.FAILED, "1", "2")
    assert found.hint == "No traffic passes from 10.1.0.0/24 to 10.3.0.0/24."


def test_what_the_data_plane_cannot_do_is_not_looked_for_in_charon():
    """The status says why; that nothing is loaded is as it should be."""
    ah = dataclasses.replace(CONNECTION, ipsec=make.ipsec_policy(transform=Transform.AH))
    facts = dataclasses.replace(
        healthy(), desired=make.desired(ah, revision=7), plane=DataPlane.USERSPACE
    )
    checks = {f.check for f in diagnose(facts) if f.subject == ah.id}
    assert "loaded in charon" not in checks
    assert "status" in checks


def test_a_plan_that_waits_says_for_how_long():
    """The pause between two attempts isn't idleness."""
    waits = dataclasses.replace(healthy(), plan=Plan((), look_again=11.6))
    (found,) = (f for f in diagnose(waits) if f.check == "plan")
    assert found.seen == "nothing now; again in 12 s"
    assert found.verdict is OK


def test_a_cause_is_said_once():
    """The status has its code; the last error the sentence and the hint."""
    fault = Fault(PEERING.config.name, "psk_mismatch", "Not ours.", "Compare.", 90.0, 98.0)
    reason = Reason("psk_mismatch", "Not ours.", "Compare.")
    facts = charon(reported(healthy(), Status.DOWN, reason), ike_sas=(), faults=(fault,))
    found = {f.check: f for f in diagnose(facts)}
    assert (found["status"].seen, found["status"].hint) == ("DOWN, psk_mismatch", "")
    assert found["last error"].seen == "psk_mismatch: Not ours. (2 s ago, since 10 s)"
    assert found["last error"].hint == "Compare."
