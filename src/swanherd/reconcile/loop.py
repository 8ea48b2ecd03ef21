"""One turn of the wheel: fetch, observe, plan, apply, observe, report."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping

from swanherd.core.failures import Failure, Permanent
from swanherd.core.ike import (
    Initiate,
    LoadConfig,
    LoadSecret,
    ReloadCharon,
    StartCharon,
    StopCharon,
    SwanAction,
)
from swanherd.core.model import DataPlane, DesiredRouter, Reason, RouterId, RouterReport
from swanherd.core.naming import peering_of
from swanherd.core.network import ObservedNetwork
from swanherd.core.planner import Action, Observed, Plan, plan, plan_removal
from swanherd.core.status import Trouble, status_of
from swanherd.core.tunnels import Timing
from swanherd.reconcile.ports import Node, Source, Swan
from swanherd.reconcile.words import words

LOG = logging.getLogger(__name__)

KERNEL = DataPlane.KERNEL

# Seconds after which to see what a turn's actions have brought, if no event asks for it earlier.
SOON = 1.0


def _never(_router_id: RouterId) -> bool:
    return False


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """What a turn works on.

    `stays_closed` tells of a router that isn't this node's any more whether others still forward
    its packets here: then what guards it stays.
    """

    source: Source
    node: Node
    swan: Swan
    plane: DataPlane
    stays_closed: Callable[[RouterId], bool] = _never


@dataclasses.dataclass(frozen=True, slots=True)
class NetworkSeen:
    """What a namespace's network was, and when it was looked at, in monotonic seconds."""

    network: ObservedNetwork
    at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """What a turn wanted, whether charon ran after it, what it said of that, and the network.

    Not all that was observed: that would be held for every router until its next turn.
    """

    desired: DesiredRouter
    charon_runs: bool
    report: RouterReport
    seen: NetworkSeen


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a turn found: the report, and why and when to turn again.

    `look` has the report and what it was made of. `failed` asks for another turn with backoff;
    `look_again` in seconds is when time alone changes the plan, or soon after actions.
    """

    look: Look | None = None
    actions: int = 0
    failed: Reason | None = None
    look_again: float | None = None

    @property
    def report(self) -> RouterReport | None:
        """What to tell the server."""
        return self.look.report if self.look is not None else None


def reconcile(
    router_id: RouterId, world: World, timing: Timing, known: NetworkSeen | None = None
) -> Outcome:
    """Bring one router to its desired state; raise Failure only if that couldn't be told.

    A network that is `known` isn't looked at again: nothing but charon had a reason to change.
    """
    desired = world.source.get_router(router_id)
    if desired is None:
        return _remove(router_id, world)
    observed = observe(router_id, world, None if known is None else known.network)
    looked = timing.now
    if known is not None and (world.plane is KERNEL or observed.network is known.network):
        looked = known.at
    todo = plan(desired, observed, world.plane, timing)
    trouble = _apply(router_id, world, todo)
    if todo.actions:
        same = trouble.router is None and all(map(_leaves_network, todo.actions))
        observed = _after(router_id, world, observed.network if same else None)
    failed = trouble.router or next(iter(trouble.connections.values()), None)
    report = status_of(desired, observed, world.plane, trouble)
    return Outcome(
        look=Look(desired, observed.charon.running, report, NetworkSeen(observed.network, looked)),
        actions=len(todo.actions),
        failed=failed,
        look_again=_next_look(todo),
    )


def preview(
    router_id: RouterId, world: World, timing: Timing
) -> tuple[DesiredRouter, Observed, Plan] | None:
    """Return what a turn would do now, without doing it."""
    desired = world.source.get_router(router_id)
    if desired is None:
        return None
    observed = observe(router_id, world)
    return desired, observed, plan(desired, observed, world.plane, timing)


def _next_look(done: Plan) -> float | None:
    """Return in how many seconds to turn again: when time alone changes the plan.

    After actions that is soon, since they have changed it; mostly an event asks for it earlier.
    """
    if not done.actions:
        return done.look_again
    return SOON if done.look_again is None else min(SOON, done.look_again)


def observe(router_id: RouterId, world: World, known: ObservedNetwork | None = None) -> Observed:
    """Return what the router's VPN is; a network that is `known` is taken as it was.

    So is what charon lists, as far as no event spoke of it. With kernel ESP the network has SAs
    and policies too, which charon changes.
    """
    recent = known is not None
    if known is None or world.plane is KERNEL:
        network = world.node.observe(router_id, known)
        spis = frozenset([sa.spi for sa in network.kernel_sas])
        return Observed(network, world.swan.observe(router_id, spis, recent=recent))
    charon = world.swan.observe(router_id, recent=recent)
    # With a daemon its device goes, and the routes by it.
    return Observed(known if charon.running else world.node.observe(router_id), charon)


def _after(router_id: RouterId, world: World, network: ObservedNetwork | None) -> Observed:
    """Return what the router's VPN is after actions; a network that they left isn't looked at.

    Nothing is planned by it any more: what charon has in the kernel by now is for the next turn.
    """
    if network is None or world.plane is not KERNEL:
        return observe(router_id, world, network)
    return Observed(network, world.swan.observe(router_id, recent=True))


def _leaves_network(action: Action) -> bool:
    """Tell whether the action changes nothing of the network: it only talks to a daemon."""
    daemon = StartCharon | ReloadCharon | StopCharon
    return isinstance(action, SwanAction) and not isinstance(action, daemon)


def _remove(router_id: RouterId, world: World) -> Outcome:
    """Plan away what is left of a router that isn't ours (any more)."""
    on_node = router_id in world.node.routers() and not world.stays_closed(router_id)
    todo = plan_removal(on_node=on_node, has_charon=router_id in world.swan.routers())
    trouble = _apply(router_id, world, todo)
    return Outcome(actions=len(todo.actions), failed=trouble.router)


def _apply(router_id: RouterId, world: World, todo: Plan) -> Trouble:
    """Apply the actions in order; one connection's trouble doesn't keep the others waiting."""
    connections: dict[str, Reason] = {}
    for action in todo.actions:
        owner = _owner(action)
        if owner in connections:
            continue
        LOG.info("Router %s: %s", router_id, words(action))
        try:
            _do(router_id, world, action)
        except Failure as failure:
            LOG.warning("Router %s: %s failed: %s", router_id, type(action).__name__, failure)
            if owner is not None and isinstance(failure, Permanent):
                connections[owner] = failure.reason
                continue
            return Trouble(failure.reason, isinstance(failure, Permanent), connections)
    return Trouble(connections=connections)


def _do(router_id: RouterId, world: World, action: Action) -> None:
    if isinstance(action, SwanAction):
        world.swan.apply(router_id, action)
    else:
        world.node.apply(router_id, action)


def _owner(action: Action) -> str | None:
    """Return the peering that an action is for, if it is for one."""
    match action:
        case LoadSecret(connection):
            return connection.id
        case LoadConfig(config):
            return config.connection.id
        case Initiate(config=name):
            return peering_of(name)
        case _:
            return None


def stale_routers(world: World, revisions: Mapping[RouterId, int]) -> frozenset[RouterId]:
    """Return the routers that are on the node but that the server doesn't place here."""
    return (world.node.routers() | world.swan.routers()) - frozenset(revisions)
