import dataclasses

import pytest

from swanherd.core.home import network_of
from swanherd.core.ike import CharonOptions, ObservedCharon, ReloadCharon, StartCharon, StopCharon
from swanherd.core.model import DataPlane, IkeVersion, Phase1Mode
from swanherd.core.network import (
    EnsureRoute,
    EnsureRule,
    ObservedNetwork,
    RemoveRoute,
    RemoveRule,
)
from swanherd.core.planner import Observed, plan
from swanherd.core.tunnels import Timing
from swanherd.testing import builders as make
from tests.unit.core.seen import network as as_wanted

LIFE = (ReloadCharon, StartCharon, StopCharon)


def daemon_actions(running_with, *connections, plane=DataPlane.USERSPACE):
    charon = ObservedCharon(running=running_with is not None, options=running_with)
    observed = Observed(ObservedNetwork(exists=False), charon)
    actions = plan(make.desired(*connections), observed, plane, Timing(0.0)).actions
    return tuple(action for action in actions if isinstance(action, LIFE))


def test_the_first_and_the_last_aggressive_connection_restart_nothing():
    """A running daemon is told; only another data plane, or an unknown start, is a restart."""
    ike = make.ike_policy(version=IkeVersion.V1, mode=Phase1Mode.AGGRESSIVE)
    main, aggressive = make.connection(), make.connection(ike=ike)
    plain = CharonOptions(DataPlane.USERSPACE)
    allowing = CharonOptions(DataPlane.USERSPACE, aggressive_psk=True)
    assert daemon_actions(plain, aggressive) == (ReloadCharon(allowing),)
    assert daemon_actions(allowing, main) == (ReloadCharon(plain),)
    assert daemon_actions(plain, main) == ()
    assert daemon_actions(None, main) == (StartCharon(plain),)
    other = CharonOptions(DataPlane.KERNEL)
    assert daemon_actions(other, main) == (StopCharon(), StartCharon(plain))


def test_a_daemon_whose_tunnel_device_was_removed_is_started_anew():
    """It made the device at its start and won't make it again; kernel ESP has none."""
    options = {plane: CharonOptions(plane) for plane in DataPlane}

    def actions(plane, *devices):
        charon = ObservedCharon(running=True, options=options[plane])
        seen = Observed(ObservedNetwork(exists=True, devices=frozenset(devices)), charon)
        planned = plan(make.desired(make.connection()), seen, plane, Timing(0.0)).actions
        return tuple(action for action in planned if isinstance(action, LIFE))

    anew = (StopCharon(), StartCharon(options[DataPlane.USERSPACE]))
    assert actions(DataPlane.USERSPACE, "lo", "ex0") == anew
    assert actions(DataPlane.USERSPACE, "lo", "ex0", "ipsec0") == ()
    assert actions(DataPlane.KERNEL, "lo", "ex0") == ()


@pytest.mark.parametrize("plane", DataPlane)
@pytest.mark.parametrize("home", [None, make.home()], ids=["OVN", "L3 agent"])
def test_another_mtu_takes_no_route_away_that_a_rule_still_leads_to(plane, home):
    """Each MTU has a table of its own; a packet that finds it empty is lost."""

    def desired(mtu):
        wanted = make.desired(make.connection(mtu=mtu))
        return dataclasses.replace(wanted, home=home)

    before = network_of(desired(1400), plane)
    seen = as_wanted(before)
    todo = plan(desired(1300), Observed(seen, ObservedCharon(running=False)), plane, Timing(0.0))
    rules, routes = set(before.rules), set(before.routes)
    removed = 0
    for action in todo.actions:
        match action:
            case EnsureRoute(route):
                routes = {
                    r
                    for r in routes
                    if (r.table, r.destination) != (route.table, route.destination)
                } | {route}
            case RemoveRoute(route):
                routes.discard(route)
                removed += 1
            case EnsureRule(rule):
                rules.add(rule)
            case RemoveRule(rule):
                rules.discard(rule)
        tables = {route.table for route in routes}
        led = {rule.table for rule in rules} & {r.table for r in before.routes | routes}
        assert led <= tables
    assert removed or home is None
