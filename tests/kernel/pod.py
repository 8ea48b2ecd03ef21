"""West's agent as the container of a pod runs it: a program of its own, and charon its child.

It begins with no state but what outlives pods: the node's bridges, namespaces and SAs. A keeper
makes namespaces. Each line on stdout is a word of what has come to be: `active`, then `rest`.
"""

from __future__ import annotations

import pickle
import signal
import sys
import threading
from pathlib import Path

from swanherd.core.model import DesiredRouter, PortId, RouterId
from swanherd.dataplane.keeper import Keeper
from tests.kernel.stage import WEST, Agent, LinuxBridges


class KeptBridges(LinuxBridges):
    """A bridge whose ports are known to the next pod too, as Open vSwitch's database has them."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        if file.exists():
            self._ports = pickle.loads(file.read_bytes())

    def plug(self, port_name: str, port_id: PortId, mac: str, router_id: RouterId) -> None:
        super().plug(port_name, port_id, mac, router_id)
        self._file.write_bytes(pickle.dumps(self._ports))


def main(directory: Path, state: Path) -> None:
    """Serve west as `desired` in the directory says, until SIGTERM."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    desired: DesiredRouter = pickle.loads((directory / "desired").read_bytes())
    bridges = KeptBridges(directory / "ports")
    agent = Agent(state, bridges, {WEST: desired}, Keeper(directory / "keeper.sock"))
    agent.wheel.look_again(WEST)
    wanted = {c.id: "ACTIVE" for c in desired.connections}

    def is_active() -> bool:
        report = agent.reports.get(WEST)
        return report is not None and {c.id: c.status for c in report.connections} == wanted

    agent.wait(is_active)
    _tell("active")
    agent.wait(lambda: is_active() and agent.is_at_rest(WEST))
    _tell("rest")
    over.wait()
    agent.stop()


def _tell(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
