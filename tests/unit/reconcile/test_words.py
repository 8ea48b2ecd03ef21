"""What the log says of a turn's actions."""

import pytest

from swanherd.core.ike import ObservedCharon
from swanherd.core.model import DataPlane
from swanherd.core.network import ObservedNetwork
from swanherd.core.planner import Observed, plan
from swanherd.core.tunnels import Timing
from swanherd.reconcile.words import words
from swanherd.testing import builders as make

MANY = 200
LONGEST = 600  # characters
SELECTORS = [make.selector("10.1.0.0/24", f"10.2.{n}.0/24") for n in range(MANY)]
PEERS = [
    make.connection(f"c{n}", peer_address=f"192.0.2.{n + 1}", selectors=(pair,))
    for n, pair in enumerate(SELECTORS)
]
ONE_PEER = [make.connection("c", selectors=tuple(SELECTORS))]


@pytest.mark.parametrize("connections", [PEERS, ONE_PEER], ids=["peers", "one peer"])
@pytest.mark.parametrize("at_home", [False, True])
@pytest.mark.parametrize("plane", DataPlane)
def test_no_line_grows_with_what_the_router_has(connections, at_home, plane):
    """With a thousand connections each POST would write a line of a hundred kilobytes."""
    desired = make.desired(*connections)
    desired = make.at_home(desired, make.home()) if at_home else desired
    seen = Observed(ObservedNetwork(exists=True), ObservedCharon(running=True))
    said = [words(action) for action in plan(desired, seen, plane, Timing(0.0)).actions]
    assert [line for line in said if line.startswith("EnsureGuard")]
    assert len(said) > MANY or connections is ONE_PEER
    assert max(map(len, said)) < LONGEST
