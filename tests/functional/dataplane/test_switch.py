"""The node with a real Open vSwitch in userspace, as OVN's chassis may have it."""

from __future__ import annotations

import pathlib
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from swanherd.agent.node import OvnNode
from swanherd.core import network as net
from swanherd.core.network import ObservedNetwork
from swanherd.dataplane.namespace import name_of
from swanherd.dataplane.privileged import inside
from swanherd.ovn.vswitch import Vswitch
from swanherd.testing.node_contract import PUBLIC, ROUTER, TRANSIT, apply_all, assert_whole, build
from tests.functional.dataplane.stand import RealHands, nft, outer_end
from tests.functional.ovn.daemons import OvsdbServer, ovsdb_server, until

WORKLOAD = "workload"


@pytest.fixture
def server(own_network: None, tmp_path: pathlib.Path) -> Iterator[OvsdbServer]:
    """A private Open vSwitch with br-int in the test's network namespace."""
    with ovsdb_server(tmp_path, "Open_vSwitch") as server:
        server.run("ovs-vsctl", "--no-wait", "init")
        log = f"--log-file={tmp_path / 'vswitchd.log'}"
        control = f"--unixctl={tmp_path / 'vswitchd.ctl'}"
        command = [
            "ovs-vswitchd",
            "-vconsole:off",
            log,
            control,
            "--disable-system",
            server.remote,
        ]
        switch = subprocess.Popen(command)
        try:
            add = ("add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev")
            server.run("ovs-vsctl", *add)
            yield server
        finally:
            switch.terminate()
            switch.wait(10)


@pytest.fixture
def node(server: OvsdbServer) -> Iterator[OvnNode]:
    vswitch = Vswitch(server.remote, timeout=5)
    yield OvnNode(vswitch)
    vswitch.close()


@pytest.fixture
def workload(server: OvsdbServer) -> str:
    """A namespace on br-int that has the transit's other address."""
    for command in (
        f"ip netns add {WORKLOAD}",
        f"ip link add workload0 type veth peer name eth0 netns {WORKLOAD}",
        "ip link set workload0 up",
        f"ip -n {WORKLOAD} link set eth0 up mtu 1442",
        f"ip -n {WORKLOAD} addr add 169.254.0.1/30 dev eth0",
        f"ip netns exec {WORKLOAD} ethtool -K eth0 tx off",
    ):
        subprocess.run(command.split(), check=True, capture_output=True)
    server.run("ovs-vsctl", "add-port", "br-int", "workload0")
    return WORKLOAD


def download(workload: str, size: int) -> int:
    """Send bytes from the router's namespace to the workload by TCP; return how many came."""
    listener = inside.within(workload, lambda: socket.create_server(("169.254.0.1", 80)))

    def serve() -> None:
        peer = inside.within(
            name_of(ROUTER), lambda: socket.create_connection(("169.254.0.1", 80), timeout=10)
        )
        with peer:
            peer.sendall(bytes(size))

    thread = threading.Thread(target=serve)
    with listener:
        listener.settimeout(10)
        thread.start()
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)
            received = 0
            while data := connection.recv(65536):
                received += len(data)
    thread.join()
    return received


def test_tcp_crosses_the_switch(node, workload):
    """Checksums are computed, since the userspace datapath leaves them as they come."""
    build(node, RealHands())
    nft(ROUTER, "delete", "table", "inet", "swanherd")
    assert download(workload, 1_000_000) == 1_000_000


def test_a_lost_namespace_is_connected_again(node, workload):
    """After the namespace was deleted by hand and healed, packets cross the switch again."""
    hands = RealHands()
    build(node, hands)
    hands.lose_namespace(ROUTER)
    assert not node.observe(ROUTER).exists
    build(node, hands)
    assert_whole(node.observe(ROUTER))
    nft(ROUTER, "delete", "table", "inet", "swanherd")
    assert download(workload, 10_000) == 10_000


def test_what_was_removed_comes_again(node, workload):
    """A namespace that is removed and made again in the next moment is connected."""
    hands = RealHands()
    for _ in range(3):
        build(node, hands)
        node.apply(ROUTER, net.RemoveNamespace())
    build(node, hands)
    nft(ROUTER, "delete", "table", "inet", "swanherd")
    assert download(workload, 10_000) == 10_000


def test_a_lost_outer_end_is_connected_again(node, workload):
    """The same for the veth pair alone."""
    hands = RealHands()
    build(node, hands)
    subprocess.run(["ip", "link", "del", outer_end(TRANSIT.name)], check=True)
    node.apply(ROUTER, net.EnsureLink(TRANSIT))
    nft(ROUTER, "delete", "table", "inet", "swanherd")
    assert download(workload, 10_000) == 10_000


def test_removal_leaves_no_port(node, server):
    """After RemoveNamespace the bridge has no port of ours."""
    build(node, RealHands())
    outer = {outer_end(device) for device in (TRANSIT.name, PUBLIC.name)}
    assert outer <= set(server.run("ovs-vsctl", "list-ports", "br-int").split())
    apply_all(node, ROUTER, [net.RemoveNamespace()])
    assert ObservedNetwork(exists=False) == node.observe(ROUTER)
    until(lambda: server.run("ovs-vsctl", "list-ports", "br-int") == "")
