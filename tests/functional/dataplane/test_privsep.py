"""An agent without capabilities does the same through a privsep helper."""

from __future__ import annotations

import gc
import pathlib
import sys
from collections.abc import Iterator

import pytest
from oslo_config import cfg

from swanherd.agent.node import OvnNode
from swanherd.core import network as net
from swanherd.core.failures import Temporary
from swanherd.core.network import ObservedNetwork
from swanherd.dataplane import namespace, privileged
from swanherd.testing.node_contract import OTHER, ROUTER, TRANSIT, assert_whole, build
from tests.functional.dataplane.stand import MemoryBridge, RealHands

GROUP = "swanherd_privileged"


@pytest.fixture
def helper(own_network: None) -> Iterator[None]:
    """Let every privileged call cross to a helper process that starts in the test's network."""
    cfg.CONF([], project="swanherd-test", default_config_files=[], default_config_dirs=[])
    program = pathlib.Path(sys.executable).parent / "privsep-helper"
    cfg.CONF.set_override("helper_command", str(program), group=GROUP)
    here = privileged.default.client_mode
    privileged.default.set_client_mode(True)
    yield
    privileged.default.stop()
    gc.collect()
    privileged.default.set_client_mode(here)
    cfg.CONF.clear_override("helper_command", group=GROUP)


# privsep leaves the socket on which it awaited its helper to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_everything_crosses_to_the_helper(helper: None) -> None:
    """Values and failures are the same as without a helper."""
    node = OvnNode(MemoryBridge())
    build(node, RealHands())
    assert_whole(node.observe(ROUTER))
    assert namespace.spawn(ROUTER, ["/bin/true"], {}) > 0
    with pytest.raises(Temporary):
        namespace.spawn(ROUTER, ["/no/such"], {})
    with pytest.raises(Temporary):
        node.apply(OTHER, net.EnsureLink(TRANSIT))
    node.apply(ROUTER, net.RemoveNamespace())
    assert ObservedNetwork(exists=False) == node.observe(ROUTER)
