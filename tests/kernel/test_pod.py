"""A pod's end and the next one's start: what its tunnels lose (the chart, ADR 16)."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.layout import ROOT
from swanherd.core.model import IkeVersion
from swanherd.dataplane import keeper, namespace
from swanherd.dataplane.privileged import inside
from tests.functional.ovn.daemons import until
from tests.kernel.stage import (
    EAST,
    INNER_NETWORKS,
    WEST,
    Stage,
    both_families,
    desired_router,
    ends,
    flows,
)
from tests.kernel.wires import Seen, Traffic

# Each makes two agents with all that they import: half a minute in this kernel.
pytestmark = pytest.mark.long

# The peer isn't told to end the old SAs (docs/adr/0020), and uses the new ones when it has them: a
# few packets (docs/enabling.md), more while this machine is busy, as in `test_life`.
LOST = 15
RESULT = ROOT / "build" / "kernel" / "pods.json"
NAME = namespace.name_of(WEST)


@pytest.fixture
def directory() -> Iterator[Path]:
    """What outlives pods, with a name that is short enough for sockets below it."""
    with tempfile.TemporaryDirectory(prefix="pod-") as name:
        yield Path(name)


@contextlib.contextmanager
def kept(directory: Path) -> Iterator[None]:
    """Have a keeper of namespaces: the container of the pod that Kubernetes leaves as it is."""
    socket = directory / "keeper.sock"
    argv = [sys.executable, "-m", "swanherd.cmd.netns_keeper", "--socket", str(socket)]
    with subprocess.Popen(argv) as process:
        try:
            until(socket.exists, 20)
            yield
        finally:
            process.terminate()
            process.wait(30)
            keeper.do({"delete": NAME})


class Pod:
    """The agent's container: process 1 of its own, whose end kills all others in it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def wait_for(self, word: str) -> None:
        assert self._process.stdout is not None
        told = self._process.stdout.readline().strip()
        assert told == word

    def end(self) -> None:
        """End as Kubernetes ends it: SIGTERM to process 1, and with it all others die."""
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGTERM)
        self._process.wait(30)
        left = subprocess.run(["ip", "netns", "pids", NAME], capture_output=True, text=True)
        assert not left.stdout, "charon outlives its container"


@contextlib.contextmanager
def running(directory: Path, number: int) -> Iterator[Pod]:
    """Have a new pod, at rest, as long as the block lasts."""
    state = directory / str(number)  # an emptyDir
    state.mkdir()
    space = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=slave"]
    argv = [*space, sys.executable, "-m", "tests.kernel.pod", str(directory), str(state)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        pod = Pod(process)
        try:
            pod.wait_for("active")
            pod.wait_for("rest")
            yield pod
        finally:
            process.kill()


@pytest.mark.parametrize("version", IkeVersion)
@pytest.mark.parametrize("tunnels", [1, 2])
def test_the_next_pod_takes_the_tunnels_over(
    stage: Stage, version: IkeVersion, tunnels: int, directory: Path
) -> None:
    """Old SAs carry traffic until new ones do; then nothing that nobody knows is left."""
    west, east = both_families(4, version)
    if tunnels == 1:
        one, other = ends("alone", 4, 4, version)
        west, east = [one], [other]
    (directory / "desired").write_bytes(pickle.dumps(desired_router(WEST, west)))
    stage.desired.pop(WEST, None)
    stage.agent.wheel.look_again(WEST)
    stage.agent.wait(lambda: not inside.is_there(NAME))
    stage.want_of(EAST, east)
    with contextlib.ExitStack() as stack:
        stack.enter_context(kept(directory))
        traffic = Traffic(flows(*(4, 6)[:tunnels]), INNER_NETWORKS)
        with running(directory, 1) as pod:
            stage.wait_active(EAST)
            # Both have initiated: of two tunnels one goes again.
            stage.agent.wait(lambda: stage.agent.is_at_rest(EAST))
            old = in_kernel(stage)
            stack.enter_context(traffic)
            traffic.read()
            pod.end()
        gap = traffic.read()
        with running(directory, 2) as pod:
            back = traffic.read()
            # In IKEv1 they stay until the peer surely uses the new ones.
            stage.agent.wait(lambda: not old & in_kernel(stage))
            sas = in_kernel(stage)
            pod.end()
    tell(version, tunnels, gap, back)
    for seen in (gap, back):
        seen.assert_closed()
    assert gap.lost == [0] * 2 * tunnels
    assert sas
    assert max(back.lost) <= LOST, back


def in_kernel(stage: Stage) -> set[int]:
    """Return the SPIs of all SAs that west has, whoever made them."""
    return {sa.spi for sa in stage.agent.node.observe(WEST).kernel_sas}


def tell(version: IkeVersion, tunnels: int, gap: Seen, back: Seen) -> None:
    """Write down what was lost without an agent, and when the next one took over."""
    told = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    found = {"between": gap.lost, "taken over": back.lost, "sent": max(gap.sent) + max(back.sent)}
    told[f"IKE{version}, {tunnels} tunnel(s)"] = found
    RESULT.write_text(json.dumps(told, indent=2) + "\n")
