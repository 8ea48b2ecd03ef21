"""What the extension costs an L3 agent in memory, and a router with a VPN."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

OUT = pathlib.Path(__file__).resolve().parents[3] / "build" / "l3-memory.json"


@pytest.fixture(scope="module")
def figures() -> dict[str, float]:
    """Measure in a process of its own (`memory.py` tells how), and leave the figures."""
    program = [sys.executable, "-W", "ignore", "-m", "tests.functional.l3.memory"]
    argv = ["unshare", "--net", "--mount", *program]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(done.stdout + "\n")
    found: dict[str, float] = json.loads(done.stdout)
    return found


@pytest.mark.long
def test_the_extension_is_small_beside_its_agent(figures: dict[str, float]) -> None:
    """Its code, its threads, its bus; without a router."""
    assert figures["extension_mb"] < 30


@pytest.mark.long
def test_a_router_with_a_vpn_costs_little(figures: dict[str, float]) -> None:
    """What the agent keeps of it, and its charon, with a tunnel that is up."""
    assert figures["router_mb"] <= 12
