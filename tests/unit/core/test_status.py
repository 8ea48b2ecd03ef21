import dataclasses

import pytest

from swanherd.core.ike import Fault, Initiate, LoadConfig, LoadSecret, ObservedCharon
from swanherd.core.model import DataPlane, Encapsulation, Reason, Status, Transform
from swanherd.core.network import EnsureGuard, ObservedNetwork
from swanherd.core.peering import peerings
from swanherd.core.planner import Observed, plan
from swanherd.core.status import Trouble, status_of
from swanherd.core.tunnels import Timing
from swanherd.testing import builders as make
from tests.unit.reconcile.test_convergence import Stage

NOTHING = Observed(ObservedNetwork(exists=False), ObservedCharon(running=False))


def effective_mtu(plane, *, changes=None, **attributes):
    desired = make.desired(make.connection(**attributes), **(changes or {}))
    (row,) = status_of(desired, NOTHING, plane, Trouble()).connections
    return row.effective_mtu


@pytest.mark.parametrize(
    ("plane", "mtu", "effective"),
    [
        # 1500 - 20 IPv4 - 8 UDP - 8 ESP - 16 IV - 16 ICV = 1432, of which 1424 in whole blocks
        # less the trailer's 2.
        (DataPlane.KERNEL, 1500, 1422),
        (DataPlane.KERNEL, 0, 1422),
        (DataPlane.KERNEL, 1300, 1300),
        # kernel-libipsec's buffer
        (DataPlane.USERSPACE, 1500, 1400),
        (DataPlane.USERSPACE, 1300, 1300),
    ],
)
def test_each_connection_tells_its_largest_packet(plane, mtu, effective):
    """min(mtu, path - overhead, what the plane takes), whether the tunnel is up or not."""
    assert effective == effective_mtu(plane, mtu=mtu)
    assert effective == effective_mtu(plane, mtu=mtu, up=False)


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ({"mode": Encapsulation.TRANSPORT}, "transport_mode_unsupported"),
        ({"transform": Transform.AH}, "ah_unsupported"),
    ],
)
def test_what_userspace_cannot_do_is_an_error_by_name_and_never_something_else(policy, code):
    """ERROR with the cause; nothing of it is loaded or initiated, but its pairs are guarded."""
    desired = make.desired(make.connection(ipsec=make.ipsec_policy(**policy)))
    (row,) = status_of(desired, NOTHING, DataPlane.USERSPACE, Trouble()).connections
    assert (row.status, row.reason.code) == (Status.ERROR, code)
    actions = plan(desired, NOTHING, DataPlane.USERSPACE, Timing(0.0)).actions
    assert not any(isinstance(a, (LoadConfig, LoadSecret, Initiate)) for a in actions)
    (guard,) = [a.guard for a in actions if isinstance(a, EnsureGuard)]
    assert guard.pairs
    (row,) = status_of(desired, NOTHING, DataPlane.KERNEL, Trouble()).connections
    assert row.status is not Status.ERROR


def test_without_a_path_nobody_can_say():
    """No public port, or no address of the peer's family: null."""
    assert effective_mtu(DataPlane.KERNEL, changes={"public": None}) is None
    assert effective_mtu(DataPlane.KERNEL, local_address=None) is None


def test_a_service_has_none():
    """It is a fact of connections."""
    report = status_of(make.desired(make.connection()), NOTHING, DataPlane.KERNEL, Trouble())
    assert [row.effective_mtu for row in report.services] == [None]


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("install_failed", "the_node_lacks_it"),
        ("traffic_selector_mismatch", "traffic_selector_mismatch"),
    ],
)
def test_what_the_turn_failed_for_is_why_nothing_could_be_installed(told, shown):
    """charon can't say what the node lacks; what it says of the peer is true all the same."""
    desired = make.desired(make.connection())
    stage = Stage(DataPlane.KERNEL)
    stage.source.desired = desired
    stage.settle()
    (peering,) = peerings(desired)
    fault = Fault(peering.config.name, told, "", "", 0.0, 0.0)
    charon = dataclasses.replace(stage.observed.charon, ike_sas=(), faults=(fault,))
    seen = Observed(stage.observed.network, charon)
    trouble = Trouble(Reason("the_node_lacks_it", ""))
    (row,) = status_of(desired, seen, DataPlane.KERNEL, trouble).connections
    assert (row.status, row.reason.code) == (Status.DOWN, shown)
