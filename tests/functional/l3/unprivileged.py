"""What an L3 agent does that is Neutron's user: one router's tunnel comes up, or is found again.

A program, run in a container; it tells in a line of JSON what it has seen, and ends. Asked to
leave, it ends the tunnel as for a router that goes.
"""

from __future__ import annotations

import json
import os
import pathlib
import stat
import sys
import time
from collections.abc import Callable
from typing import Any

import oslo_messaging
from neutron.conf.agent import common as neutron_options
from oslo_config import cfg

from swanherd.agent.l3 import L3Agent
from swanherd.config import agent as options
from swanherd.core.home import key_of
from swanherd.core.model import HomeNamespace, RouterId, RouterReport, Status
from swanherd.dataplane import homes, privileged
from swanherd.rpc import server as rpc_server
from swanherd.testing import builders as make
from tests.functional.l3.stand import EAST, WEST, desired

KEY = key_of(WEST.router_id, HomeNamespace.ROUTER)
FILES = (
    "--config-file",
    "/etc/neutron/neutron.conf",
    "--config-file",
    "/etc/neutron/l3_agent.ini",
)


class Server:
    """Answers the agent, and notes what it says."""

    def __init__(self) -> None:
        self.desired = desired(WEST, EAST, make.home())
        self.reports: list[RouterReport] = []

    def get_router(self, host: str, router_id: str) -> Any:
        return self.desired if router_id == WEST.router_id else None

    def get_revisions(self, host: str) -> Any:
        return {WEST.router_id: self.desired.revision}

    def report_status(self, host: str, reports: list[RouterReport]) -> dict[RouterId, float]:
        self.reports += reports
        return {}

    def is_active(self) -> bool:
        return any(
            row.status is Status.ACTIVE for each in self.reports for row in each.connections
        )


def main(words: list[str]) -> None:
    """Begin as neutron-l3-agent and the extension do."""
    conf = cfg.CONF
    neutron_options.register_root_helper(conf)
    options.register_beside_neutron(conf)
    conf.register_opts(options.DEFAULT_OPTS)
    conf(FILES, project="neutron")
    neutron_options.setup_privsep()
    privileged.follow_neutron(conf)
    oslo_messaging.get_rpc_transport(conf)
    server = Server()
    listening = rpc_server.start(server, conf, "server")
    agent = L3Agent(conf, lambda _: ())
    agent.start()
    agent.look(WEST.router_id)
    until(server.is_active)
    say(told(agent))
    if "leave" in words:
        agent.leave(WEST.router_id, tuple(HomeNamespace))
        say({"left": sorted(agent.swan.routers())})
    agent.stop()
    listening.stop()
    listening.wait()


def say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")


def told(agent: L3Agent) -> dict[str, Any]:
    """Return who we are, and what the daemon is and has."""
    directory = pathlib.Path("/var/lib/neutron/swanherd/routers", KEY)
    observed = agent.swan.observe(KEY)
    return {
        "uid": os.geteuid(),
        "helper": privileged.default.channel is not None,
        "pid": json.loads((directory / "charon.json").read_text())["pid"],
        "spis": sorted(sa.initiator_spi for sa in observed.ike_sas),
        "keepalived": len(homes.processes(KEY, "keepalived")),
        "files": {
            path.name: [path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)]
            for path in (directory, *directory.iterdir())
        },
    }


def until(met: Callable[[], bool], limit: float = 30) -> None:
    deadline = time.monotonic() + limit
    while not met():
        assert time.monotonic() < deadline, "it didn't come about"
        time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1:])
