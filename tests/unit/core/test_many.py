"""Many connections on one router: what a change of one costs, in calls, which no load changes."""

import dataclasses
import ipaddress
import itertools

import pytest

from swanherd.core.home import network_of
from swanherd.core.ike import (
    ChildSa,
    IkeSa,
    Initiate,
    LoadConfig,
    LoadedConfig,
    LoadSecret,
    ObservedCharon,
    SaState,
    TerminateIke,
    UnloadConfig,
)
from swanherd.core.model import (
    ChildDetails,
    DataPlane,
    Dpd,
    DpdAction,
    IkeDetails,
    IkeVersion,
    Status,
)
from swanherd.core.network import (
    TUNNEL_DEVICE,
    Direction,
    KernelPolicy,
    KernelSa,
    ObservedNetwork,
)
from swanherd.core.peering import config_names, peerings
from swanherd.core.planner import Observed, options_of, plan
from swanherd.core.status import Trouble, status_of
from swanherd.core.tunnels import Timing
from swanherd.testing import builders as make
from tests.unit.steps import calls_of

COUNT = 500
# Calls by which looks of fewer and of more connections may differ, by how dictionaries grow.
SLACK = 20
HERE = "203.0.113.1"
USERSPACE, KERNEL = DataPlane.USERSPACE, DataPlane.KERNEL
PLANES = pytest.mark.parametrize("plane", DataPlane)


def router(count=COUNT):
    connections = []
    for n in range(count):
        peer = str(ipaddress.ip_address("198.18.0.1") + n)
        selector = make.selector("10.1.0.0/24", f"10.{100 + n // 250}.{n % 250}.0/24")
        connection = make.connection(
            f"c{n}", peer_address=peer, peer_id=peer, selectors=(selector,)
        )
        connections.append(connection)
    return make.desired(*connections)


def edited(desired, number):
    """Return the router with another dead peer detection of one connection."""
    changed = dataclasses.replace(desired.connections[number], dpd=Dpd(DpdAction.HOLD, 7, 70))
    connections = list(desired.connections)
    connections[number] = changed
    return dataclasses.replace(desired, revision=2, connections=tuple(connections)), changed


def all_up(desired, plane):
    """Return what is observed of the router while all of it is up."""
    wanted, sas = network_of(desired, plane), []
    for number, peering in enumerate(peerings(desired), 1):
        (name,), peer = peering.children, peering.config.connection.peer_address
        spis = frozenset({number, 10_000 + number})
        details = ChildDetails("", "", "aes-256", None, None, 0, 0, 0, 0, 3, 100, 200)
        child = ChildSa(name, number, SaState.INSTALLED, details, spis)
        ike = IkeDetails(IkeVersion.V2, "aes-256", None, "sha256", None, True, 3, 100, True)
        sas.append(
            IkeSa(
                *(peering.config.name, number, SaState.ESTABLISHED, True, HERE, peer),
                busy=False,
                children=(child,),
                details=ike,
            )
        )
    charon = ObservedCharon(
        running=True,
        options=options_of(desired, plane),
        configs=frozenset(LoadedConfig(p.config.name, p.children) for p in peerings(desired)),
        secrets=frozenset(p.config.connection.id for p in peerings(desired)),
        ike_sas=tuple(sas),
    )
    network = ObservedNetwork(
        exists=True,
        links=wanted.links,
        host_addresses=wanted.host_addresses,
        # Equal, but not the same: as they are read.
        routes=frozenset(set(wanted.routes)),
        rules=frozenset(set(wanted.rules)),
        guard=dataclasses.replace(wanted.guard),
        devices=frozenset(link.name for link in wanted.links) | {TUNNEL_DEVICE},
    )
    return Observed(network if plane is USERSPACE else with_kernel(network, desired, sas), charon)


def with_kernel(network, desired, sas):
    """Return the network with what charon has in the kernel for these SAs."""
    here = ipaddress.ip_address(HERE)
    known = {
        KernelSa(*ends, 50, spi)
        for sa in sas
        for ends, spi in zip(
            itertools.permutations((here, ipaddress.ip_address(sa.remote_host))),
            *(sorted(child.spis) for child in sa.children),
            strict=True,
        )
    }
    pairs = [selector for p in peerings(desired) for _, selector in p.config.children]
    policies = frozenset(KernelPolicy(pair, way) for pair in pairs for way in Direction)
    return dataclasses.replace(network, kernel_sas=frozenset(known), kernel_policies=policies)


def look(desired, observed, plane=USERSPACE):
    """Return the actions and the report of one look; charon is looked at anew."""
    observed = Observed(observed.network, dataclasses.replace(observed.charon))
    actions = plan(desired, observed, plane, Timing(0.0)).actions
    return actions, status_of(desired, observed, plane, Trouble())


@PLANES
def test_a_look_at_what_rests_takes_the_same_steps_for_any_number_of_connections(plane):
    """A few hundred calls; a look without memory makes more than a hundred for each of them."""
    steps = []
    for count in (COUNT // 10, COUNT):
        desired = router(count)
        observed = all_up(desired, plane)
        actions, report = look(desired, observed, plane)
        assert not actions
        assert {row.status for row in report.connections} == {Status.ACTIVE}
        steps.append(calls_of(lambda d=desired, o=observed: look(d, o, plane)))
    assert abs(steps[1] - steps[0]) <= SLACK
    assert steps[1] < 300


@PLANES
def test_a_change_of_one_connection_takes_the_same_steps_for_any_number_of_connections(plane):
    """From the new desired state to the plan and the report, each time anew."""
    steps = []
    for count in (COUNT // 10, COUNT):
        desired = router(count)
        observed = all_up(desired, plane)
        look(desired, observed, plane)
        # The first one learns which pair each child is of.
        later, _ = edited(desired, 5)
        look(later, observed, plane)
        latest, _ = edited(later, 7)
        steps.append(calls_of(lambda d=latest, o=observed: look(d, o, plane)))
    assert abs(steps[1] - steps[0]) <= SLACK


@PLANES
def test_a_swap_takes_the_same_steps_for_any_number_of_connections(plane):
    """While the new SA is there and the old one not gone yet."""
    steps = []
    for count in (COUNT // 10, COUNT):
        desired = router(count)
        observed = all_up(desired, plane)
        look(desired, observed, plane)
        later, _ = edited(desired, 7)
        both = swapping(observed, all_up(later, plane))
        actions, report = look(later, both, plane)
        assert [type(action) for action in actions] == [UnloadConfig, TerminateIke]
        assert {row.status for row in report.connections} == {Status.ACTIVE}
        steps.append(calls_of(lambda d=later, o=both: look(d, o, plane)))
    assert abs(steps[1] - steps[0]) <= SLACK


def swapping(before, after):
    """Return what is observed of a router that has what was before and what came."""
    known = {sa.config for sa in before.charon.ike_sas}
    new = tuple(sa for sa in after.charon.ike_sas if sa.config not in known)
    charon = dataclasses.replace(
        after.charon,
        configs=before.charon.configs | after.charon.configs,
        ike_sas=(*before.charon.ike_sas, *new),
    )
    here, there = before.network, after.network
    both = dataclasses.replace(
        here,
        kernel_sas=here.kernel_sas | there.kernel_sas,
        kernel_policies=here.kernel_policies | there.kernel_policies,
    )
    return Observed(both, charon)


def test_a_change_of_one_connection_works_nothing_out_for_the_others():
    """The others' network, peerings and rows are the same objects."""
    desired = router()
    observed = all_up(desired, USERSPACE)
    _, before = look(desired, observed)
    later, changed = edited(desired, 7)
    look(later, observed)
    _, after = look(later, observed)
    assert network_of(later, USERSPACE) is network_of(desired, USERSPACE)
    kept = set(map(id, peerings(desired))) & set(map(id, peerings(later)))
    assert len(kept) == COUNT - 1
    differing = [
        new.id
        for old, new in zip(before.connections, after.connections, strict=True)
        if old is not new
    ]
    assert differing == [changed.id]


def test_a_change_of_one_connection_plans_for_it_alone():
    """Its secret and its new config are loaded, its old config goes."""
    desired = router()
    observed = all_up(desired, USERSPACE)
    later, _ = edited(desired, 7)
    (new,) = config_names(later) - config_names(desired)
    (old,) = config_names(desired) - config_names(later)
    actions, _ = look(later, observed)
    assert UnloadConfig(old) in actions
    loads = [action for action in actions if isinstance(action, LoadConfig)]
    assert [action.config.name for action in loads] == [new]
    assert len([action for action in actions if isinstance(action, LoadSecret)]) == 1
    # It is initiated, unless the other side is to begin the swap.
    assert {type(action) for action in actions[3:]} <= {Initiate}


def test_a_network_that_differs_is_another_object():
    """Another network of one connection: its routes, rules and pairs."""
    desired = router()
    one = desired.connections[3]
    moved = dataclasses.replace(one, selectors=(make.selector("10.1.0.0/24", "10.99.0.0/24"),))
    connections = tuple(moved if c is one else c for c in desired.connections)
    later = dataclasses.replace(desired, connections=connections)
    assert network_of(later, USERSPACE) != network_of(desired, USERSPACE)
    actions, report = look(later, all_up(desired, USERSPACE))
    assert {type(a).__name__ for a in actions} >= {"EnsureRoute", "RemoveRoute", "EnsureGuard"}
    assert [r.id for r in report.connections if r.status is not Status.ACTIVE]
