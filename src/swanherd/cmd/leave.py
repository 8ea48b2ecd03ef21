"""`swanherdctl leave`: remove what is Swanherd's from the routers' own namespaces of this node."""

from __future__ import annotations

import argparse
import socket
import sys
import time
from pathlib import Path
from typing import Any

from oslo_config import cfg

from swanherd.config import agent as options
from swanherd.core.failures import Failure
from swanherd.core.ike import StopCharon
from swanherd.core.model import RouterId
from swanherd.core.network import RemoveNamespace
from swanherd.reconcile.ports import Node, Swan


def add(commands: Any) -> None:
    """Add the command to a parser."""
    parser = commands.add_parser(
        "leave", help="remove all that is ours from a node of L3 agents; stop the agent first"
    )
    parser.add_argument("--config-file", action="append", required=True, help="the L3 agent's")
    parser.add_argument(
        "--keep-closed", action="store_true", help="end the daemons alone; the guards stay"
    )
    parser.set_defaults(run=leave)


def leave(arguments: argparse.Namespace) -> int:
    """End every charon, and leave each namespace as Neutron has it; 1 if something fails.

    Kept closed, it is open for another daemon's tunnels alone, so that no flow begins in clear:
    such a flow would keep its translated address in the tunnel.
    """
    # What it needs is slow to import, and the program is a pod's probe too.
    from swanherd.agent.homes import HomeNode
    from swanherd.agent.surroundings import ROUTERS
    from swanherd.agent.telling import CONTROL_SOCKET
    from swanherd.dataplane import daemons, homes, namespace
    from swanherd.swan.adapter import StrongSwan
    from swanherd.swan.charon import Surroundings

    conf = cfg.ConfigOpts()
    options.register(conf)
    conf(["--config-file", *arguments.config_file], project="swanherd")
    if _is_served(path := options.state_path(conf) / CONTROL_SOCKET):
        print(f"swanherdctl: an agent answers at {path}: stop it first", file=sys.stderr)
        return 1
    node = HomeNode()
    node.find_touched()
    surroundings = Surroundings(
        path.parent / ROUTERS,
        homes.spawn,
        namespace.namespace_inode,
        daemons,
        time.monotonic,
    )
    swan = StrongSwan(surroundings, lambda _: None)
    keys = sorted(swan.routers() | node.routers())
    done = [_leave(swan, node, key, closed=arguments.keep_closed) for key in keys]
    swan.close()
    return 0 if all(done) else 1


def _leave(swan: Swan, node: Node, key: RouterId, *, closed: bool) -> bool:
    """Leave one namespace, and print so; tell whether that succeeded."""
    try:
        if key in swan.routers():
            swan.apply(key, StopCharon())
        # After charon, since nothing is closed any more then.
        if key in node.routers() and not closed:
            node.apply(key, RemoveNamespace())
    except Failure as failure:
        print(f"swanherdctl: {failure}", file=sys.stderr)
        return False
    print(f"{key}  {'closed' if closed else 'left'}")
    return True


def _is_served(path: Path) -> bool:
    """Tell whether an agent has the socket: it would make all of it again."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        return link.connect_ex(str(path)) == 0
