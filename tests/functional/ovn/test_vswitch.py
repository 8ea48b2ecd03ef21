"""The node's Open vSwitch, with a real ovsdb-server."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from concurrent import futures

import pytest

from swanherd.core.failures import Temporary
from swanherd.core.model import PortId, RouterId
from swanherd.ovn.vswitch import PluggedPort, Vswitch
from tests.functional.ovn.daemons import OvsdbServer, columns_read, ovsdb_server, until

ROUTER = RouterId("6d0ba1c8-92de-4af4-a34f-20a1bb5c8f2d")
MAC = "02:00:00:00:00:01"
WANTED = PluggedPort(PortId("port-1"), MAC, ROUTER)


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[OvsdbServer]:
    with ovsdb_server(tmp_path, "Open_vSwitch") as server:
        server.run("ovs-vsctl", "--no-wait", "init", "--", "add-br", "br-int")
        server.run("ovs-vsctl", "--no-wait", "add-br", "br-ex")
        ids = ("external_ids:system-id=chassis-1", "external_ids:hostname=gateway-1")
        server.run("ovs-vsctl", "--no-wait", "set", "Open_vSwitch", ".", *ids)
        yield server


@pytest.fixture
def vswitch(server: OvsdbServer) -> Iterator[Vswitch]:
    vswitch = Vswitch(server.remote, timeout=1)
    yield vswitch
    vswitch.close()


def vsctl(server: OvsdbServer, *arguments: str) -> str:
    return server.run("ovs-vsctl", "--no-wait", *arguments)


def answers(vswitch: Vswitch) -> bool:
    try:
        vswitch.ports()
    except Temporary:
        return False
    return True


def test_plugging_twice_is_plugging_once(server: OvsdbServer, vswitch: Vswitch) -> None:
    """A plugged port is in br-int with its ids; plugging it again changes nothing."""
    vswitch.plug("vp1", PortId("port-1"), MAC, ROUTER)
    before = vsctl(server, "list", "Interface", "vp1")
    vswitch.plug("vp1", PortId("port-1"), MAC, ROUTER)

    assert vswitch.ports() == {"vp1": WANTED}
    assert vsctl(server, "list-ports", "br-int") == "vp1"
    assert vsctl(server, "list", "Interface", "vp1") == before
    assert vsctl(server, "get", "Interface", "vp1", "external_ids:iface-status") == "active"


def test_unplugging_leaves_no_row(server: OvsdbServer, vswitch: Vswitch) -> None:
    """After unplug neither the port nor its interface is left; again is harmless."""
    vswitch.plug("vp1", PortId("port-1"), MAC, ROUTER)
    vswitch.unplug("vp1")
    vswitch.unplug("vp1")

    assert vswitch.ports() == {}
    assert "vp1" not in vsctl(server, "--columns=name", "list", "Interface")
    assert "vp1" not in vsctl(server, "--columns=name", "list", "Port")


def test_a_port_that_is_lost_is_told_of(server: OvsdbServer) -> None:
    """Taken out, or without its device; not one that comes up, nor one that isn't ours."""
    lost: list[RouterId] = []
    vswitch = Vswitch(server.remote, timeout=1, on_lost=lost.append)
    try:
        vswitch.plug("vp1", PortId("port-1"), MAC, ROUTER)
        vsctl(server, "add-port", "br-int", "tap1")
        for state in ("up", "down"):
            for name in ("tap1", "vp1"):
                vsctl(server, "set", "Interface", name, f"link_state={state}")
            until(lambda s=state: len(lost) == (s == "down"))
        vsctl(server, "del-port", "tap1")
        vsctl(server, "del-port", "vp1")
        until(lambda: len(lost) == 2)
    finally:
        vswitch.close()
    assert lost == [ROUTER, ROUTER]


def test_only_ours_is_listed_and_unplugged(server: OvsdbServer, vswitch: Vswitch) -> None:
    """A port without our key is none of ours."""
    vsctl(server, "add-port", "br-int", "tap1")
    vswitch.unplug("tap1")

    assert vswitch.ports() == {}
    assert vsctl(server, "list-ports", "br-int") == "tap1"


def test_drift_is_repaired_and_others_keys_stay(server: OvsdbServer, vswitch: Vswitch) -> None:
    """A port in another bridge, with another id, comes back; what OVN noted there stays."""
    vsctl(server, "add-port", "br-ex", "vp1")
    ids = ("external_ids:iface-id=other", "external_ids:ovn-installed=true")
    vsctl(server, "set", "Interface", "vp1", *ids)
    vswitch.plug("vp1", PortId("port-1"), MAC, ROUTER)

    assert vswitch.ports() == {"vp1": WANTED}
    assert vsctl(server, "port-to-br", "vp1") == "br-int"
    assert "ovn-installed" in vsctl(server, "get", "Interface", "vp1", "external_ids")


def test_a_row_is_read_once_until_it_changes(server: OvsdbServer, vswitch: Vswitch) -> None:
    """Each look at one router asks for the ports of all."""
    for number in range(3):
        vswitch.plug(f"vp{number}", PortId(f"port-{number}"), MAC, ROUTER)
    assert len(vswitch.ports()) == 3
    assert columns_read(vswitch.ports) == 0
    vsctl(server, "set", "Interface", "vp1", "external_ids:iface-id=other")
    until(lambda: vswitch.ports()["vp1"].port_id == "other")
    vswitch.unplug("vp2")
    assert vswitch.ports().keys() == {"vp0", "vp1"}


def test_the_chassis_is_known(vswitch: Vswitch) -> None:
    """The system-id and the hostname are what ovn-controller uses."""
    assert vswitch.system_id() == "chassis-1"
    assert vswitch.hostname() == "gateway-1"


def test_a_server_that_is_away_is_temporary(server: OvsdbServer, vswitch: Vswitch) -> None:
    """While the server is away every verb raises Temporary; when it is back they work."""
    vswitch.plug("vp1", PortId("port-1"), MAC, ROUTER)
    server.stop()
    until(lambda: not answers(vswitch))
    with pytest.raises(Temporary):
        vswitch.plug("vp2", PortId("port-2"), MAC, ROUTER)
    server.start()
    until(lambda: answers(vswitch))

    assert vswitch.ports() == {"vp1": WANTED}


def test_a_server_that_comes_late_is_found(tmp_path: pathlib.Path) -> None:
    """A server that isn't there at first is no lasting failure."""
    late = OvsdbServer(tmp_path, "Open_vSwitch")
    vswitch = Vswitch(late.remote, timeout=0.2)
    with pytest.raises(Temporary):
        vswitch.ports()
    late.start()
    try:
        until(lambda: answers(vswitch))
        assert vswitch.ports() == {}
    finally:
        vswitch.close()
        late.stop()


def test_a_missing_bridge_is_temporary(server: OvsdbServer, vswitch: Vswitch) -> None:
    """Without the integration bridge the failure names it."""
    vsctl(server, "del-br", "br-int")

    def gone() -> bool:
        try:
            vswitch.plug("vp1", PortId("port-1"), MAC, ROUTER)
        except Temporary as failure:
            return failure.reason.code == "bridge_missing"
        vswitch.unplug("vp1")
        return False

    until(gone)


def test_threads_share_it(vswitch: Vswitch) -> None:
    """Eight threads that plug and unplug leave exactly what they left plugged."""

    def work(number: int) -> None:
        for turn in range(5):
            name = f"vp{number}-{turn}"
            vswitch.plug(name, PortId(name), MAC, ROUTER)
            if turn % 2:
                vswitch.unplug(name)

    with futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))

    assert {f"vp{n}-{t}" for n in range(8) for t in (0, 2, 4)} == vswitch.ports().keys()


def test_a_port_of_others_is_evicted_and_ours_never(server: OvsdbServer, vswitch: Vswitch) -> None:
    """Another agent's port of a router leaves the bridge, once or more; ours stays."""
    vsctl(server, "add-port", "br-int", "vg0f3a1c2d-77b")
    vswitch.plug("vp1", PortId("port-1"), MAC, ROUTER)
    for name in ("vg0f3a1c2d-77b", "vg0f3a1c2d-77b", "vp1"):
        vswitch.evict(name, ROUTER)
    assert vsctl(server, "list-ports", "br-int") == "vp1"
