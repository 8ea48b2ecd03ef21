"""What the extension costs an L3 agent's process, and each router with a VPN; prints JSON.

All in one process that has everything of Neutron's L3 agent imported, on a network and a
/run/netns of its own (`unshare --net --mount`). Memory is the proportional set (PSS, proc(5)) in
MB, after the garbage was collected and freed pages were given back (malloc_trim(3)).
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import oslo_messaging
from oslo_config import cfg

ROUTERS = 8  # with a tunnel from each odd one to the next
# What Neutron's L3 agent has loaded with and without an extension; and what only the tests need.
_LOADED = ("neutron.agent.l3_agent", "neutron.agent.l3.agent", "neutron.agent.l3.ha", "pytest")


def main() -> None:
    """Measure and print."""
    _own_place()
    conf = _bare_agent()
    without = settled()
    with tempfile.TemporaryDirectory(prefix="swan-") as state:
        # Its import is a part of what the extension costs.
        stage = importlib.import_module("tests.functional.l3.memory_stage")
        agent, server = stage.start(conf, Path(state))
        with_it = settled()
        grown = [(0, with_it, 0.0)]
        grown += (
            (len(daemons), settled(), sum(map(pss, daemons)))
            for daemons in stage.routers(agent, server, ROUTERS)
        )
    counts = [count for count, _, _ in grown]
    agents = statistics.linear_regression(counts, [memory for _, memory, _ in grown]).slope
    charons = statistics.linear_regression(counts, [memory for _, _, memory in grown]).slope
    figures = {
        "without_mb": without,
        "extension_mb": with_it - without,
        "router_in_agent_mb": agents,
        "router_charon_mb": charons,
        "router_mb": agents + charons,
        "grown": grown,
    }
    sys.stdout.write(json.dumps(figures))


def _own_place() -> None:
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    Path("/run/netns").mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _bare_agent() -> Any:
    """Be what an L3 agent is without any extension: its code, its options and a bus."""
    for name in _LOADED:
        importlib.import_module(name)
    assert "swanherd" not in sys.modules
    conf = cfg.CONF
    oslo_messaging.get_rpc_transport(conf, url="fake:/")  # registers what is overridden
    conf.set_override("transport_url", "fake:/")
    return conf


def settled() -> float:
    """Return this process' memory with nothing in it that could go."""
    for _ in range(3):
        gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return pss("self")


def pss(pid: object) -> float:
    """Return a process' proportional set in MB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    line = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
