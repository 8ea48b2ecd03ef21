"""The OVN VPN agent: wires the wheel to this node, to charon and to the server."""

from __future__ import annotations

import logging
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swanherd import descriptors
from swanherd.agent import control
from swanherd.agent.drift import Drift
from swanherd.agent.facts import facts_of
from swanherd.agent.garbage import collecting
from swanherd.agent.life import Life
from swanherd.agent.listener import listening
from swanherd.agent.monitor import Monitor, about
from swanherd.agent.names import NAMES_INTERVAL, Names, look_up
from swanherd.agent.node import OvnNode
from swanherd.agent.surroundings import ROUTERS, choose_data_plane, own_state
from swanherd.agent.takeover import Takeover
from swanherd.agent.telling import CONTROL_SOCKET, Teller
from swanherd.core.failures import Temporary
from swanherd.core.health import Southbound
from swanherd.core.model import PortId, Reason, RouterId
from swanherd.core.tunnels import Timing
from swanherd.dataplane import daemons, namespace
from swanherd.dataplane.keeper import Keeper
from swanherd.ovn.bindings import Bindings, Certificates, Where
from swanherd.ovn.database import EVERY_ROUTER
from swanherd.ovn.vswitch import Vswitch
from swanherd.reconcile.loop import World
from swanherd.reconcile.resolver import ResolvingSource
from swanherd.reconcile.source import SHORTEST, CachedSource
from swanherd.reconcile.wheel import Wheel
from swanherd.rpc import client
from swanherd.swan.adapter import StrongSwan
from swanherd.swan.charon import Surroundings

LOG = logging.getLogger(__name__)

NO_OVN = Reason("ovn_unknown", "Open vSwitch doesn't tell where OVN is: has it been set up?")


class OvnAgent:
    """Everything that one agent process holds. `conf` has the options of swanherd.config.agent."""

    def __init__(self, conf: Any) -> None:
        options = conf.swanherd
        self._conf = conf
        self._state = own_state(conf)
        self._life = Life()
        self._announced = False
        self._broken = False
        self.plane = choose_data_plane(options.data_plane)
        self._vswitch = Vswitch(conf.ovs.ovsdb_connection, on_lost=self._on_lost)
        keeper = options.namespace_keeper
        maker = Keeper(Path(keeper)) if keeper else namespace.HERE
        node = OvnNode(self._vswitch, maker=maker)
        surroundings = Surroundings(
            self._state / ROUTERS,
            namespace.spawn,
            namespace.namespace_inode,
            daemons,
            time.monotonic,
        )
        self.swan = StrongSwan(surroundings, self._on_charon_event)
        self._server = client.ServerClient(conf, conf.host, options.rpc_timeout)
        self._names = Names(look_up, time.monotonic)
        self._peers = ResolvingSource(self._server, self._names.resolve)
        self._source = CachedSource(self._peers, time.monotonic, options.desired_max_age)
        self.takeover = Takeover(
            Bindings(self._where, self._on_port, options.fence_after / 4),
            self._source,
            node,
            options.fence_after,
        )
        self._timing = Timing(now=0.0, grace=options.swap_grace, last_retry=options.last_retry)
        self._world = World(self.takeover.roles, node, self.swan, self.plane)
        self.wheel = Wheel(self._world, self._server, self._timing, time.monotonic, random.random)
        self.monitor = Monitor(
            about("ovn", self.plane),
            self.wheel,
            self.swan,
            options.compare_interval,
            self._southbound,
        )
        self._stops: list[Callable[[], None]] = []
        self._hints: Any = None

    def run(self) -> int:
        """Work until SIGTERM or SIGINT; the daemons and their tunnels go on without us.

        Returns the exit status: 1 if a thread of ours broke. Then whoever supervises us starts
        us anew, which costs no tunnel anything; half an agent would cost the truth.
        """
        threading.excepthook = self._thread_broke
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._life.end())
        collecting(self._life)
        self.start()
        self._life.wait()
        self.stop()
        return 1 if self._broken else 0

    def start(self) -> None:
        """Start all threads; hints are taken before the first comparison, so none is missed."""
        descriptors.raise_open_files()
        options = self._conf.swanherd
        teller = Teller(self.wheel, self._world, self._timing, self._about, self.monitor.health)
        self._stops.append(listening(self._conf.metrics, self.monitor, self._life))
        self._stops.append(control.serve(self._state / CONTROL_SOCKET, teller.commands()))
        self.wheel.start(options.workers)
        self.takeover.start(self.wheel)
        self._hints = client.listen(self._conf, self._conf.host, self._on_hint)
        self._life.every(options.report_interval, self._heartbeat, "heartbeat")
        self._life.every(options.compare_interval, self._compare, "compare")
        # Apart from the comparison, which waits for the bus: drift is repaired without a server.
        self._life.every(options.compare_interval, self.wheel.look_at_known, "drift")
        self._life.every(NAMES_INTERVAL, self._follow_names, "names")
        self._life.every(SHORTEST, self._catch_up, "late")
        drift = self.wheel.looks, self.wheel.look_again, self._life, namespace.wait_for_removals
        Drift(*drift).start()
        LOG.info("Agent %s is running; data plane: %s", self._conf.host, self.plane)

    def stop(self) -> None:
        """Stop all threads; leave namespaces and daemons as they are."""
        self._life.end()
        # Nobody waits for the bus, which takes a second to notice; it ends with the process.
        threading.Thread(target=self._hints.stop, name="stop", daemon=True).start()
        for stop in reversed(self._stops):
            stop()
        self.takeover.stop()
        self.wheel.stop()
        self.swan.close()
        self._vswitch.close()

    def _thread_broke(self, what: threading.ExceptHookArgs) -> None:
        name = what.thread.name if what.thread else "?"
        details = (what.exc_type, what.exc_value or what.exc_type(), what.exc_traceback)
        LOG.critical("Thread %s broke: the agent ends", name, exc_info=details)
        self._broken = True
        self._life.end()

    def _on_hint(self, router_id: RouterId) -> None:
        self._source.forget(router_id)
        self.wheel.look(router_id)

    def _on_lost(self, router_id: RouterId) -> None:
        self.wheel.look_again(router_id)

    def _on_port(self, port_id: PortId) -> None:
        self.takeover.on_port(port_id)

    def _where(self) -> Where:
        """Return where OVN is, as configured or as this node's ovn-controller knows it."""
        options = self._conf.ovn
        remote = options.ovn_sb_connection or self._vswitch.southbound()
        chassis = self._vswitch.system_id()
        if not remote or not chassis:
            raise Temporary(EVERY_ROUTER, NO_OVN)
        if "ssl:" in remote:
            files = (options.ovn_sb_private_key, options.ovn_sb_certificate)
            Certificates(*files, options.ovn_sb_ca_cert).use()
        return Where(remote, chassis)

    def _on_charon_event(self, router_id: RouterId) -> None:
        self.wheel.look(router_id)

    def _follow_names(self) -> None:
        """Look again at the routers that have a peer whose name has moved."""
        for router_id in self._peers.users(self._names.refresh(self._peers.names())):
            self._on_hint(router_id)

    def _catch_up(self) -> None:
        """Look at the routers whose newer answer has come at last."""
        for router_id in self._source.catch_up():
            self.wheel.look(router_id)

    def _compare(self) -> None:
        """Compare revisions with the server's, and tell it all again."""
        revisions = self._source.get_revisions()
        self.monitor.server_answered()
        self.wheel.compare(revisions)

    def _southbound(self) -> Southbound:
        return Southbound(self.takeover.is_current(), self.takeover.roles.fenced)

    def _heartbeat(self) -> None:
        self._server.report_agent(self._facts(), start=not self._announced)
        self._announced = True

    def _about(self) -> dict[str, Any]:
        return {"host": self._conf.host, **self._facts()}

    def _facts(self) -> dict[str, Any]:
        """Return what `openstack network agent show` tells of this agent."""
        fenced = self.takeover.roles.fenced
        return {"fenced": fenced, **facts_of(self.wheel, self.plane)}
