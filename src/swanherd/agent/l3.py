"""The VPN in Neutron's L3 agent: an extension that only queues, and the wheel that it feeds."""

from __future__ import annotations

import ipaddress
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from neutron_lib.agent import l3_extension
from neutron_lib.callbacks import events, registry, resources
from oslo_config import cfg

from swanherd import descriptors
from swanherd.agent import control
from swanherd.agent.drift import Drift
from swanherd.agent.facts import facts_of
from swanherd.agent.homes import HomeNode, HomeReporter, HomeSource
from swanherd.agent.life import Life
from swanherd.agent.listener import listening
from swanherd.agent.monitor import Monitor, about
from swanherd.agent.names import NAMES_INTERVAL, Names, look_up
from swanherd.agent.surroundings import ROUTERS, choose_data_plane, own_state
from swanherd.agent.telling import CONTROL_SOCKET, Teller
from swanherd.config import agent as options
from swanherd.core.failures import Failure
from swanherd.core.home import key_of, named_again, parse_key
from swanherd.core.ike import StopCharon
from swanherd.core.model import HomeNamespace, Role, RouterId, ScopeMark
from swanherd.core.tunnels import Timing
from swanherd.dataplane import daemons, homes, namespace, privileged
from swanherd.reconcile.loop import World
from swanherd.reconcile.queue import KeyedQueue
from swanherd.reconcile.resolver import ResolvingSource
from swanherd.reconcile.source import SHORTEST, CachedSource
from swanherd.reconcile.wheel import Wheel
from swanherd.rpc import client
from swanherd.swan.adapter import StrongSwan
from swanherd.swan.charon import Surroundings

LOG = logging.getLogger(__name__)

# Seconds after a take-over at which the neighbours are told again: switches may go on sending to
# where the same MAC was, and the other node may still think that the addresses are its own. Who
# gives a router up tells the other nodes of it at the same times.
# Whether they are ours is asked each time: who has lost them again must be silent at once.
_ANNOUNCEMENTS = (0.0, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 15.0, 30.0, 60.0)

# Seconds for which one look for changed addresses waits: so long a new router may go unwatched.
_WATCH = 1.0
# For so many comparisons with the server what it said of other nodes counts.
_LEASE = 3
# Seconds for which a namespace that goes waits for the turn that is under way in it.
_LEAVE = 10.0
# Seconds after which one that hasn't gone is looked at all the same: Neutron may have failed.
_GONE = 60.0


class L3Agent:
    """Everything of ours in one L3 agent's process. `conf` has the options of config.agent."""

    def __init__(self, conf: Any, scope_marks: Callable[[RouterId], Sequence[ScopeMark]]) -> None:
        options_ = conf.swanherd
        self._conf = conf
        self._life = Life(goes_on=True)
        self._announced = False
        self.plane = choose_data_plane(options_.data_plane)
        self._state = own_state(conf)
        surroundings = Surroundings(
            self._state / ROUTERS,
            homes.spawn,
            namespace.namespace_inode,
            daemons,
            time.monotonic,
        )
        self.swan = StrongSwan(surroundings, self._on_charon_event)
        lost = self.swan.life.nameless
        self._node = HomeNode(lost=lost)
        self._server = client.ServerClient(
            conf, conf.host, options_.rpc_timeout, binary="neutron-l3-agent"
        )
        self._names = Names(look_up, time.monotonic)
        self._peers = ResolvingSource(self._server, self._names.resolve)
        self._cache = CachedSource(self._peers, time.monotonic, options_.desired_max_age)
        self._questions: KeyedQueue[RouterId] = KeyedQueue(time.monotonic)
        self._source = HomeSource(
            self._cache,
            scope_marks,
            time.monotonic,
            self._speak_up,
            self._questions.add,
            lost,
            _LEASE * options_.compare_interval,
        )
        self._timing = timing = Timing(
            now=0.0, grace=options_.swap_grace, last_retry=options_.last_retry
        )
        source = self._source
        self._world = world = World(source, self._node, self.swan, self.plane, source.stays_closed)
        reporter = HomeReporter(self._server, source, self._look_at)
        self.wheel = Wheel(world, reporter, timing, time.monotonic, random.random)
        self.monitor = Monitor(
            about("l3", self.plane), self.wheel, self.swan, options_.compare_interval
        )
        self._announcements: KeyedQueue[tuple[RouterId, int]] = KeyedQueue(time.monotonic)
        self._hints: Any = None
        # The namespaces that Neutron removes, and since when.
        self._left: dict[RouterId, float] = {}
        self._stops: list[Callable[[], None]] = []

    def start(self) -> None:
        """Start all threads; hints are taken before the first comparison, so none is missed."""
        descriptors.raise_open_files()
        options_ = self._conf.swanherd
        self._name_again()
        self._node.find_touched()
        self.swan.end_orphans()
        teller = Teller(
            self.wheel,
            self._world,
            self._timing,
            self._about,
            self.monitor.health,
            self._tunnel_key,
        )
        path = self._state / CONTROL_SOCKET
        self._stops.append(control.serve(path, teller.commands()))
        self._stops.append(listening(self._conf.metrics, self.monitor, self._life))
        self.wheel.start(options_.workers)
        self._hints = client.listen(self._conf, self._conf.host, self._on_hint)
        self._life.every(options_.report_interval, self._heartbeat, "swanherd-heartbeat")
        self._life.every(options_.compare_interval, self._compare, "swanherd-compare")
        self._life.every(options_.compare_interval, self.wheel.look_at_known, "swanherd-drift")
        self._life.every(NAMES_INTERVAL, self._follow_names, "swanherd-names")
        self._life.every(SHORTEST, self._catch_up, "swanherd-late")
        self._life.every(0.0, self._watch, "swanherd-watch")
        Drift(self.wheel.looks, self._look_at, self._life, namespace.wait_for_removals).start()
        self._life.work_off(self._announcements, self._announce, "swanherd-announce")
        self._life.work_off(self._questions, self._ask, "swanherd-ask")
        LOG.info("VPN of L3 agent %s is running; data plane: %s", self._conf.host, self.plane)

    def stop(self) -> None:
        """Stop all threads; leave daemons and what is in the namespaces as they are."""
        self._life.end()
        for stop in reversed(self._stops):
            stop()
        if self._hints is not None:
            self._hints.stop()
        self._announcements.close()
        self._questions.close()
        self.wheel.stop()
        self.swan.close()

    def look(self, router_id: RouterId) -> None:
        """Ask the server anew and look at all of the router's namespaces; returns at once."""
        for kind in HomeNamespace:
            self._heed(key_of(router_id, kind))
        self._cache.forget(router_id)
        self.look_again(router_id)

    def look_again(self, router_id: RouterId) -> None:
        """Look at the router's namespaces, of which something has changed here."""
        for kind in HomeNamespace:
            self.wheel.look_again(key_of(router_id, kind))

    def leave(self, router_id: RouterId, kinds: Sequence[HomeNamespace]) -> None:
        """End charon before its namespace goes: in one without a name it would live on.

        No look follows until Neutron tells of the router again, nor is one under way: it would
        begin anew before the namespace has gone. Till then it forwards packets, so its guard stays
        and goes with it.
        """
        for kind in kinds:
            key = key_of(router_id, kind)
            self._left[key] = time.monotonic()
            self.wheel.ignore(key)
            with self.wheel.alone(key, _LEAVE):
                try:
                    if key in self.swan.routers():
                        self.swan.apply(key, StopCharon())
                except Failure as failure:
                    LOG.warning("%s: %s", key, failure)

    def _name_again(self) -> None:
        """Give namespaces that have lost their names these again, before Neutron makes new ones.

        Neutron's agent begins when we have started; the first turn would come too late.
        """
        for key in sorted(self.swan.routers()):
            try:
                for action in named_again(self._node.nameless(key)):
                    self._node.apply(key, action)
            except Failure as failure:
                LOG.warning("%s: %s", key, failure)

    def _heed(self, key: RouterId) -> None:
        self._left.pop(key, None)
        self.wheel.heed(key)

    def _look_at(self, key: RouterId) -> None:
        self.wheel.look_again(key)

    def _on_charon_event(self, key: RouterId) -> None:
        self.wheel.look(key)

    def _follow_names(self) -> None:
        """Look again at the routers that have a peer whose name has moved."""
        for router_id in self._peers.users(self._names.refresh(self._peers.names())):
            self._on_hint(router_id)

    def _on_hint(self, router_id: RouterId) -> None:
        self._cache.forget(router_id)
        self._look_at_wanted(router_id)

    def _look_at_wanted(self, router_id: RouterId) -> None:
        for kind in HomeNamespace:
            self.wheel.look(key_of(router_id, kind))

    def _catch_up(self) -> None:
        """Look at the routers whose newer answer has come at last."""
        for router_id in self._cache.catch_up():
            self._look_at_wanted(router_id)

    def _compare(self) -> None:
        revisions = self._source.get_revisions()
        self.monitor.server_answered()
        self.wheel.compare(revisions)
        for key, since in tuple(self._left.items()):
            if namespace.namespace_inode(key) is None or time.monotonic() - since > _GONE:
                self._heed(key)

    def _heartbeat(self) -> None:
        self._server.report_agent(self._facts(), start=not self._announced)
        self._announced = True

    def _about(self) -> dict[str, Any]:
        return {"host": self._conf.host, **self._facts()}

    def _facts(self) -> dict[str, Any]:
        # Nothing fences it: who has a router's addresses is decided on the node.
        return {"fenced": False, **facts_of(self.wheel, self.plane)}

    def _tunnel_key(self, router_id: RouterId) -> RouterId:
        """Return the router's namespace that tells most: the one with charon, if it is here."""
        if parse_key(router_id)[0] is not None:
            return router_id
        central = key_of(router_id, HomeNamespace.CENTRAL)
        if self._source.get_router(central) is not None:
            return central
        return key_of(router_id, HomeNamespace.ROUTER)

    # Redundant routers

    def _watch(self) -> None:
        """Queue the redundant routers whose addresses came or went, or whose keepalived ended.

        And those that another node has served at the same time, and those whose last turn failed:
        mostly for a device that Neutron makes later.
        """
        watched = {key: () for key in self.wheel.failures()} | dict(self._source.redundant())
        if not watched:
            self._life.wait(_WATCH)
            return
        for key, notices in homes.wait(watched, _WATCH).items():
            if self._source.hear(key, notices):
                self._speak_up(key)
            self._look_at(key)

    def _speak_up(self, key: RouterId) -> None:
        self._announcements.add((key, 0))

    def _ask(self, router_id: RouterId) -> None:
        """Ask the server of a redundant router, for which no turn waits, and look at it again."""
        try:
            self._cache.get_router(router_id)
        finally:
            self.look_again(router_id)

    def _announce(self, item: tuple[RouterId, int]) -> None:
        key, number = item
        if self._tell(key) and number + 1 < len(_ANNOUNCEMENTS):
            pause = _ANNOUNCEMENTS[number + 1] - _ANNOUNCEMENTS[number]
            self._announcements.add_after((key, number + 1), pause)

    def _tell(self, key: RouterId) -> bool:
        """Say that the router is served here, or that it was; return if there was anything."""
        if self._source.roles().get(key) is Role.ACTIVE:
            self._node.announce(key)
        elif notice := self._source.notice(key):
            self._node.tell(key, notice)
        else:
            return False
        return True


class SwanherdL3Extension(l3_extension.L3AgentExtension):
    """What Neutron's L3 agent loads. Its callbacks hold up Neutron's work, so they only queue."""

    def __init__(self) -> None:
        super().__init__()
        self._agent: L3Agent | None = None
        self._routers: Any = None

    def initialize(self, connection: Any, driver_type: str) -> None:
        """Set up and begin; called once, after `consume_api` and before any router."""
        options.register_beside_neutron(cfg.CONF)
        privileged.follow_neutron(cfg.CONF)
        self._agent = L3Agent(cfg.CONF, self._scope_marks)
        registry.subscribe(self._before_update, resources.ROUTER, events.BEFORE_UPDATE)
        self._agent.start()

    def consume_api(self, agent_api: Any) -> None:
        """Take what tells of the agent's routers; called first."""
        self._routers = agent_api

    def add_router(self, context: Any, data: dict[str, Any]) -> None:
        """Queue the router."""
        self._ours.look(RouterId(data["id"]))

    def update_router(self, context: Any, data: dict[str, Any]) -> None:
        """Queue the router: Neutron may have removed rules of ours."""
        self._ours.look(RouterId(data["id"]))

    def delete_router(self, context: Any, data: Any) -> None:
        """End what is in the router's namespaces, which go when this returns."""
        router_id = RouterId(data if isinstance(data, str) else data["id"])
        self._ours.leave(router_id, tuple(HomeNamespace))

    def ha_state_change(self, context: Any, data: dict[str, Any]) -> None:
        """Queue the router; the address itself is seen earlier."""
        self._ours.look_again(RouterId(data["router_id"]))

    def update_network(self, context: Any, data: dict[str, Any]) -> None:
        """Nothing: the routers concerned are updated too."""

    @property
    def _ours(self) -> L3Agent:
        if self._agent is None:
            raise RuntimeError("the extension isn't initialized")
        return self._agent

    def _before_update(self, resource: str, event: str, trigger: Any, payload: Any) -> None:
        """End charon in a namespace that goes with the gateway of a distributed router."""
        router = payload.states[0].router
        if router.get("distributed") and not router.get("gw_port"):
            self._ours.leave(RouterId(router["id"]), (HomeNamespace.CENTRAL,))

    def _scope_marks(self, router_id: RouterId) -> Sequence[ScopeMark]:
        """Return the marks by which the router's firewall knows the scopes of its networks."""
        info = self._routers.get_router_info(router_id) if self._routers else None
        return tuple(_marks(info)) if info is not None else ()


def _marks(info: Any) -> Sequence[ScopeMark]:
    found = []
    for port in list(info.internal_ports):
        by_version = info.get_port_address_scope_mark(port)
        for subnet in port.get("subnets", ()):
            network = ipaddress.ip_network(subnet["cidr"])
            mark = int(by_version[network.version].partition("/")[0], 16)
            found.append(ScopeMark(network, mark))
    return found
