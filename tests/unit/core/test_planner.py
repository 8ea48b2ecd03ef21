from swanherd.core.ike import CharonOptions, ObservedCharon, ReloadCharon, StartCharon, StopCharon
from swanherd.core.model import DataPlane, IkeVersion, Phase1Mode
from swanherd.core.network import ObservedNetwork
from swanherd.core.planner import Observed, plan
from swanherd.core.tunnels import Timing
from swanherd.testing import builders as make

LIFE = (ReloadCharon, StartCharon, StopCharon)


def daemon_actions(running_with, *connections, plane=DataPlane.USERSPACE):
    charon = ObservedCharon(running=running_with is not None, options=running_with)
    observed = Observed(ObservedNetwork(exists=False), charon)
    actions = plan(make.desired(*connections), observed, plane, Timing(0.0)).actions
    return tuple(action for action in actions if isinstance(action, LIFE))


def test_the_first_and_the_last_aggressive_connection_restart_nothing():
    """A running daemon is told; only another data plane, or an unknown start, is a restart."""
    ike = make.ike_policy(version=IkeVersion.V1, mode=Phase1Mode.AGGRESSIVE)
    main, aggressive = make.connection(), make.connection(ike=ike)
    plain = CharonOptions(DataPlane.USERSPACE)
    allowing = CharonOptions(DataPlane.USERSPACE, aggressive_psk=True)
    assert daemon_actions(plain, aggressive) == (ReloadCharon(allowing),)
    assert daemon_actions(allowing, main) == (ReloadCharon(plain),)
    assert daemon_actions(plain, main) == ()
    assert daemon_actions(None, main) == (StartCharon(plain),)
    other = CharonOptions(DataPlane.KERNEL)
    assert daemon_actions(other, main) == (StopCharon(), StartCharon(plain))


def test_a_daemon_whose_tunnel_device_was_removed_is_started_anew():
    """It made the device at its start and won't make it again; kernel ESP has none."""
    options = {plane: CharonOptions(plane) for plane in DataPlane}

    def actions(plane, *devices):
        charon = ObservedCharon(running=True, options=options[plane])
        seen = Observed(ObservedNetwork(exists=True, devices=frozenset(devices)), charon)
        planned = plan(make.desired(make.connection()), seen, plane, Timing(0.0)).actions
        return tuple(action for action in planned if isinstance(action, LIFE))

    anew = (StopCharon(), StartCharon(options[DataPlane.USERSPACE]))
    assert actions(DataPlane.USERSPACE, "lo", "ex0") == anew
    assert actions(DataPlane.USERSPACE, "lo", "ex0", "ipsec0") == ()
    assert actions(DataPlane.KERNEL, "lo", "ex0") == ()
