import pytest

from swanherd.core.ike import ObservedCharon
from swanherd.core.model import DataPlane
from swanherd.core.network import ObservedNetwork
from swanherd.core.planner import Observed
from swanherd.core.status import Trouble, status_of
from swanherd.testing import builders as make

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


def test_without_a_path_nobody_can_say():
    """No public port, or no address of the peer's family: null."""
    assert effective_mtu(DataPlane.KERNEL, changes={"public": None}) is None
    assert effective_mtu(DataPlane.KERNEL, local_address=None) is None


def test_a_service_has_none():
    """It is a fact of connections."""
    report = status_of(make.desired(make.connection()), NOTHING, DataPlane.KERNEL, Trouble())
    assert [row.effective_mtu for row in report.services] == [None]
