"""The difference between what a router's VPN is and what it should be, as ordered actions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import TypeVar

from swanherd.core import moves
from swanherd.core import network as net
from swanherd.core.capabilities import serviceable
from swanherd.core.home import named_again, network_of, runs_charon
from swanherd.core.ike import (
    CharonOptions,
    Initiate,
    ObservedCharon,
    ReloadCharon,
    StartCharon,
    StopCharon,
    SwanAction,
)
from swanherd.core.leftovers import bereft, leftovers
from swanherd.core.memo import equal, remember
from swanherd.core.model import (
    DataPlane,
    DesiredRouter,
    IkeVersion,
    Phase1Mode,
)
from swanherd.core.network import NetworkAction, ObservedNetwork
from swanherd.core.peering import peerings
from swanherd.core.tunnels import Timing, plan_tunnels

T = TypeVar("T")

KERNEL = DataPlane.KERNEL

Action = NetworkAction | SwanAction


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """Everything one router's VPN is."""

    network: ObservedNetwork
    charon: ObservedCharon


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What to do now; and in how many seconds to look again, if time alone changes the plan."""

    actions: tuple[Action, ...]
    look_again: float | None = None


def plan(desired: DesiredRouter, observed: Observed, plane: DataPlane, timing: Timing) -> Plan:
    """Return the actions that turn observed into desired; none if they agree.

    The guard comes before any link, links and routes before charon, charon before the routes
    through its device, and those before any IKE config: nothing can leave in clear on the way.
    So a router that becomes a standby is silent before its IKE SAs end, and one that becomes
    active is heard before it initiates.
    """
    wanted = network_of(desired, plane)
    early, late = _plan_network(wanted, observed.network)
    if not runs_charon(desired):
        stop = (StopCharon(),) if observed.charon.running else ()
        gone = moves.farewells(observed.network)
        return Plan((*early, *late, *stop, *gone))
    if desired.home is not None and not observed.network.exists:
        return Plan(
            named_again(observed.network.nameless) or (StopCharon(), net.EnsureNamespace())
        )
    options = options_of(desired, plane)
    charon = observed.charon
    restart: tuple[SwanAction, ...] = ()
    possible = serviceable(desired, plane)
    last = tuple(leftovers(possible, observed.network, charon)) if plane is KERNEL else ()
    maimed = _has_lost_tunnel_device(observed, plane)
    if _can_reload(charon, options) and not maimed:
        restart = (ReloadCharon(options),)
    elif not charon.running or charon.options != options or maimed:
        before = (StopCharon(),) if charon.running else ()
        restart = (*before, StartCharon(options))
        charon = ObservedCharon(running=True, options=options, faults=charon.faults)
        last = ()
        late = (*late, *_tunnel_routes_again(wanted, observed.network))
    quiet = bereft(possible, observed.network, charon) if plane is KERNEL else frozenset()
    tunnels, look_again = plan_tunnels(possible, charon, timing, quiet)
    heard, gone = moves.welcomes(possible, observed.network, charon, tunnels)
    tunnels, awaited = _sendable(possible, observed.network, tunnels)
    claims = _claims(desired, observed.network)
    does = (*early, *restart, *late, *heard, *tunnels, *last, *gone, *awaited, *claims)
    return Plan(does, look_again)


def _sendable(
    desired: DesiredRouter, network: ObservedNetwork, tunnels: tuple[SwanAction, ...]
) -> tuple[tuple[SwanAction, ...], tuple[net.AwaitAddress, ...]]:
    """Return what to do in charon now, and the addresses for which the rest has to wait.

    What begins before Neutron has given a router its address reaches nobody, and charon asks
    again ever later: every 10 s by the time at which the address comes.
    """
    begun = {action.config for action in tunnels if isinstance(action, Initiate)}
    if desired.home is None or not begun:
        return tunnels, ()
    configs = [p.config for p in peerings(desired) if p.config.name in begun]
    addresses = {c.name: c.connection.local_address for c in configs}
    missing = {n: a for n, a in addresses.items() if a is not None and a not in network.addresses}
    now = (a for a in tunnels if not (isinstance(a, Initiate) and a.config in missing))
    return tuple(now), tuple(map(net.AwaitAddress, sorted(set(missing.values()), key=str)))


def _claims(desired: DesiredRouter, network: ObservedNetwork) -> tuple[net.ClaimAgain, ...]:
    """Return which addresses to ask for again: Neutron gave them while another node had them.

    Without one of a protected network userspace ESP installs no tunnel for it, and Neutron itself
    doesn't forward. Those of a redundant router are keepalived's to give and to take.
    """
    if desired.home is None or desired.home.redundant:
        return ()
    return tuple(map(net.ClaimAgain, sorted(network.duplicates, key=str)))


def _has_lost_tunnel_device(observed: Observed, plane: DataPlane) -> bool:
    """Tell whether somebody has removed the device that a running daemon made at its start."""
    devices = observed.network.devices
    made = observed.charon.running and plane is DataPlane.USERSPACE
    return made and bool(devices) and net.TUNNEL_DEVICE not in devices


def _can_reload(charon: ObservedCharon, options: CharonOptions) -> bool:
    """Tell whether the daemon can be told what differs, so that no tunnel notices."""
    known = charon.options
    return (
        charon.running
        and known is not None
        and known != options
        and dataclasses.replace(known, aggressive_psk=options.aggressive_psk) == options
    )


def plan_removal(*, on_node: bool, has_charon: bool) -> Plan:
    """Return the actions after which nothing of the router is left on the node."""
    stop = (StopCharon(),) if has_charon else ()
    remove = (net.RemoveNamespace(),) if on_node else ()
    return Plan((*stop, *remove))


@remember
def options_of(desired: DesiredRouter, plane: DataPlane) -> CharonOptions:
    """Return what the router's charon has to be started with."""
    policies = [c.ike for c in desired.connections if c.ike.version is IkeVersion.V1]
    aggressive = any(policy.mode is Phase1Mode.AGGRESSIVE for policy in policies)
    return CharonOptions(plane, aggressive_psk=aggressive, guest=desired.home is not None)


def _plan_network(
    wanted: net.Network, observed: ObservedNetwork
) -> tuple[tuple[NetworkAction, ...], tuple[NetworkAction, ...]]:
    """Return what to do before charon runs and what to do after."""
    early: list[NetworkAction] = []
    if not observed.exists:
        early.append(net.EnsureNamespace())
    if not equal(observed.guard, wanted.guard):
        early.append(net.EnsureGuard(wanted.guard))
    names = {link.name for link in wanted.links}
    early += [net.RemoveLink(n) for n in sorted({link.name for link in observed.links} - names)]
    changed = wanted.links - observed.links
    early += [net.EnsureLink(link) for link in sorted(changed, key=lambda link: link.name)]
    early += _differences(
        observed.host_addresses,
        wanted.host_addresses,
        net.RemoveHostAddress,
        net.EnsureHostAddress,
    )
    # A link that is made anew takes its routes with it, whatever was observed.
    remade = {link.name for link in changed}
    late: list[NetworkAction] = []
    stale: list[NetworkAction] = []
    if remade or not equal(observed.routes, wanted.routes):
        kept = frozenset(r for r in observed.routes if r.device not in remade)
        tunnel = wanted.guard.tunnel
        added = [net.EnsureRoute(r) for r in sorted(wanted.routes - kept, key=repr)]
        early += [add for add in added if add.route.device != tunnel]
        late += [add for add in added if add.route.device == tunnel]
        stale += _stale_routes(kept, wanted.routes)
    late += _differences(observed.rules, wanted.rules, net.RemoveRule, net.EnsureRule)
    # Each MTU has a table: until the new rules are there the old ones lead to the old one.
    return tuple(early), (*late, *stale)


def _stale_routes(
    observed: frozenset[net.Route], wanted: frozenset[net.Route]
) -> list[NetworkAction]:
    """Return the removals; a route of the same table and destination is replaced, without one."""
    replaced = {(r.table, r.destination) for r in wanted}
    gone = (r for r in observed - wanted if (r.table, r.destination) not in replaced)
    return [net.RemoveRoute(route) for route in sorted(gone, key=repr)]


def _tunnel_routes_again(
    wanted: net.Network, observed: ObservedNetwork
) -> Iterable[NetworkAction]:
    """Yield the routes that die with a charon that is restarted, as far as they were there."""
    lost = {r for r in wanted.routes & observed.routes if r.device == wanted.guard.tunnel}
    return map(net.EnsureRoute, sorted(lost, key=repr))


def _differences(
    observed: frozenset[T],
    wanted: frozenset[T],
    remove: Callable[[T], NetworkAction],
    ensure: Callable[[T], NetworkAction],
) -> list[NetworkAction]:
    """Return additions, then removals, each in an order that doesn't depend on the input's.

    In this order a change (an MTU's, say) leaves no moment without a route and a rule.
    """
    if equal(observed, wanted):
        return []
    return [
        *map(ensure, sorted(wanted - observed, key=repr)),
        *map(remove, sorted(observed - wanted, key=repr)),
    ]
