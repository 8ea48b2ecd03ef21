"""The extension and routers of it for `tests.functional.l3.memory`: one agent, both ends."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from swanherd.agent.l3 import L3Agent
from swanherd.config import agent as options
from swanherd.core.model import DesiredRouter, HomeNamespace, RouterId, RouterReport, Status
from swanherd.dataplane import home_guards
from swanherd.rpc import server as rpc_server
from swanherd.testing import builders as make
from tests.functional.l3.stand import Plan, Stand, desired, legacy, run


class Server:
    """What the agent asks and tells."""

    def __init__(self) -> None:
        self.wanted: dict[RouterId, DesiredRouter] = {}
        self.reports: dict[RouterId, RouterReport] = {}
        self.compared = threading.Event()

    def get_router(self, _host: str, router_id: RouterId) -> DesiredRouter | None:
        return self.wanted.get(router_id)

    def get_revisions(self, _host: str) -> Mapping[RouterId, int]:
        self.compared.set()
        return {router_id: wanted.revision for router_id, wanted in self.wanted.items()}

    def report_status(
        self, _host: str, reports: Sequence[RouterReport]
    ) -> Mapping[RouterId, float]:
        self.reports |= {report.router_id: report for report in reports}
        return {}

    def all_are_up(self) -> bool:
        rows = [c.status for i in self.wanted if i in self.reports for c in self._rows(i)]
        return len(rows) == len(self.wanted) and set(rows) == {Status.ACTIVE}

    def _rows(self, router_id: RouterId) -> Sequence[Any]:
        return self.reports[router_id].connections


def start(conf: Any, state: Path) -> tuple[L3Agent, Server]:
    """Start what the extension starts; return once it has spoken with its server."""
    options.register_beside_neutron(conf)
    conf.register_opts(options.DEFAULT_OPTS)
    conf([], project="swanherd", default_config_files=[])
    conf.set_override("host", "node")
    conf.set_override("state_path", str(state), group="swanherd")
    conf.set_override("data_plane", "userspace", group="swanherd")
    server = Server()
    rpc_server.start(server, conf, "server")
    agent = L3Agent(conf, lambda _: ())
    agent.start()
    assert server.compared.wait(60)
    return agent, server


def routers(agent: L3Agent, server: Server, number: int) -> Iterator[Sequence[str]]:
    """Bring pairs of routers up, and yield the daemons of all of them after each pair."""
    Stand(Path("/nowhere"), home_guards.choose())  # the internet; no site of it is used
    made: list[RouterId] = []
    try:
        for first in range(1, number, 2):
            one, other = (Plan(f"r{n}", n) for n in (first, first + 1))
            for here, there in itertools.permutations((one, other)):
                legacy(here)
                server.wanted[here.router_id] = desired(here, there, make.home())
                made.append(here.router_id)
            for router_id in made[-2:]:
                agent.look(router_id)
            until(server.all_are_up)
            yield charons(made)
    finally:
        for router_id in made:
            agent.leave(router_id, tuple(HomeNamespace))
        agent.stop()


def charons(made: Sequence[RouterId]) -> Sequence[str]:
    """Return the daemons in the routers' namespaces."""
    return [pid for i in made for pid in run("ip", "netns", "pids", f"qrouter-{i}").split()]


def until(met: Callable[[], bool], limit: float = 90) -> None:
    deadline = time.monotonic() + limit
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.1)
