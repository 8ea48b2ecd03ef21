"""The real node keeps the contract, in a network namespace of the test."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import select
import signal
import subprocess
from collections.abc import Iterator

import pytest

from swanherd.agent.node import OvnNode
from swanherd.core import network as net
from swanherd.core.failures import Temporary
from swanherd.core.network import PUBLIC_DEVICE, TRANSIT_DEVICE
from swanherd.dataplane import guards, namespace
from swanherd.dataplane.guards import Firewall
from swanherd.dataplane.privileged import iptables as privileged_iptables
from swanherd.testing.node_contract import (
    GUARD,
    PUBLIC,
    ROUTER,
    TRANSIT,
    NodeContract,
    apply_all,
    assert_whole,
    build,
    early_actions,
)
from tests.functional.dataplane.packets import checksum
from tests.functional.dataplane.stand import (
    MemoryBridge,
    RealHands,
    ip,
    iptables,
    nft,
    outer_end,
    outer_wire,
)


@pytest.fixture
def hands(firewall: Firewall) -> RealHands:
    return RealHands(firewall)


class TestOvnNode(NodeContract):
    """All laws, with the kernel."""


@pytest.mark.parametrize(
    "harm",
    [
        ["link", "set", TRANSIT_DEVICE, "down"],
        ["link", "set", TRANSIT_DEVICE, "mtu", "1300"],
        ["link", "set", TRANSIT_DEVICE, "address", "02:00:00:00:00:01"],
        ["addr", "add", "192.0.2.1/24", "dev", TRANSIT_DEVICE],
    ],
)
def test_a_harmed_link_is_seen_and_healed(node, hands, harm):
    """A link that isn't as it was made is observed as another one, until it is applied again."""
    build(node, hands)
    ip(ROUTER, *harm)
    assert TRANSIT not in node.observe(ROUTER).links
    for action in early_actions():
        node.apply(ROUTER, action)
    assert_whole(node.observe(ROUTER))


def test_checksums_left_to_hardware_are_seen_and_healed(node, hands):
    """Transmit checksum offload is off, and if somebody turns it on, that is drift."""
    build(node, hands)
    command = ["ip", "netns", "exec", namespace.name_of(ROUTER), "ethtool", "-K", TRANSIT_DEVICE]
    subprocess.run([*command, "tx", "on"], check=True, capture_output=True)
    assert TRANSIT not in node.observe(ROUTER).links
    node.apply(ROUTER, net.EnsureLink(TRANSIT))
    assert TRANSIT in node.observe(ROUTER).links


@pytest.mark.parametrize("device", [TRANSIT_DEVICE, PUBLIC_DEVICE])
def test_a_harmed_outer_end_is_seen_and_healed(node, hands, device):
    """The bridge's end of a link counts as much: down, or gone."""
    build(node, hands)
    link = {TRANSIT_DEVICE: TRANSIT, PUBLIC_DEVICE: PUBLIC}[device]
    for harm in ("set {} down", "set {} mtu 1000", "del {}"):
        command = f"ip link {harm.format(outer_end(device))}"
        subprocess.run(command.split(), check=True)
        assert link not in node.observe(ROUTER).links
        node.apply(ROUTER, net.EnsureLink(link))
        assert link in node.observe(ROUTER).links


def test_a_port_lost_from_the_bridge_is_seen_and_healed(node, hands, bridge):
    """A veth pair without its port isn't the link."""
    build(node, hands)
    bridge.unplug(outer_end(TRANSIT_DEVICE))
    assert TRANSIT not in node.observe(ROUTER).links
    node.apply(ROUTER, net.EnsureLink(TRANSIT))
    assert_whole(node.observe(ROUTER))


@pytest.mark.parametrize("sysctl", ["net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0"])
def test_forwarding_turned_off_is_seen_and_healed(node, hands, sysctl):
    """A namespace that doesn't forward isn't one as EnsureNamespace makes it."""
    build(node, hands)
    command = ["ip", "netns", "exec", namespace.name_of(ROUTER), "sysctl", "-qw", sysctl]
    subprocess.run(command, check=True)
    assert not node.observe(ROUTER).exists
    node.apply(ROUTER, net.EnsureNamespace())
    assert_whole(node.observe(ROUTER))


GUARD_HARMS = {
    "a rule added": "add rule inet swanherd forward accept",
    "a rule before": "insert rule inet swanherd input accept",
    "a pair added": (
        "add element inet swanherd pairs4_0 { 10.7.0.0/24 . 10.8.0.0/24 : goto mss1300 }"
    ),
    "a pair removed": (
        "delete element inet swanherd pairs4_0 { 10.1.0.0/24 . 10.9.0.0/24 : goto mss1300 }"
    ),
    "the policy": "add chain inet swanherd forward { policy accept; }",
    "a chain flushed": "flush chain inet swanherd output",
    "the table": "delete table inet swanherd",
    "the mark": "flush chain inet swanherd written",
}


IPTABLES_HARMS = {
    "a rule added": ["-A", "swanherd-outwards", "-j", "ACCEPT"],
    "a rule before": ["-I", "INPUT", "-j", "ACCEPT"],
    "a pair added": ["-I", "swanherd-inwards", "-g", "swanherd-mss1300"],
    "a pair removed": ["-D", "swanherd-outwards", "1"],
    "the jump": ["-D", "FORWARD", "1"],
    "a chain flushed": ["-F", "swanherd-output"],
    "everything": ["-F"],
    "the mark": ["-F", "swanherd-written"],
}


def check_harm_is_seen_and_healed(node, harm) -> None:
    harm()
    assert node.observe(ROUTER).guard is None
    for action in early_actions():
        node.apply(ROUTER, action)
    assert_whole(node.observe(ROUTER))


@pytest.mark.parametrize("firewall", ["nft"], indirect=True)
@pytest.mark.parametrize("harm", GUARD_HARMS.values(), ids=GUARD_HARMS)
def test_every_harm_to_the_table_is_seen_and_healed(node, hands, harm):
    """Nothing can be changed in our table unnoticed; applied again it is as before."""
    build(node, hands)
    check_harm_is_seen_and_healed(node, lambda: nft(ROUTER, harm))


@pytest.mark.parametrize("firewall", ["iptables"], indirect=True)
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("harm", IPTABLES_HARMS)
def test_every_harm_to_the_chains_is_seen_and_healed(node, hands, harm, version):
    """Nothing can be changed in our chains or in the way to them unnoticed."""
    build(node, hands)
    if (harm, version) == ("the mark", 6):
        pytest.skip("only IPv4 has it")
    check_harm_is_seen_and_healed(
        node, lambda: iptables(ROUTER, *IPTABLES_HARMS[harm], version=version)
    )


@pytest.mark.parametrize("firewall", ["nft"], indirect=True)
def test_a_restarted_agent_knows_its_table(node, hands, bridge, firewall):
    """Another process recognises the guard without writing it anew, and others' tables stay."""
    build(node, hands)
    nft(ROUTER, "add table inet others")
    before = nft(ROUTER, "--handle", "list", "table", "inet", "swanherd")
    check_restarted_agent(OvnNode(bridge, firewall))
    assert before == nft(ROUTER, "--handle", "list", "table", "inet", "swanherd")
    assert "table inet others" in nft(ROUTER, "list", "tables")


@pytest.mark.parametrize("firewall", ["iptables"], indirect=True)
def test_a_restarted_agent_knows_its_chains(node, hands, bridge, firewall):
    """Another process recognises the guard without writing it anew, and others' rules stay."""
    build(node, hands)
    iptables(ROUTER, "-A", "FORWARD", "-s", "192.0.2.1", "-j", "RETURN")
    before = listed()
    check_restarted_agent(OvnNode(bridge, firewall))
    assert before == listed()
    changed = dataclasses.replace(GUARD, pairs=frozenset())
    node.apply(ROUTER, net.EnsureGuard(changed))
    assert "-A FORWARD -s 192.0.2.1/32 -j RETURN" in listed()[4]


def listed() -> dict[int, str]:
    """Return the chains without the lines that tell when they were listed."""
    tables = privileged_iptables.listing(namespace.name_of(ROUTER))
    return {v: "".join(ln for ln in t.splitlines(True) if ln[0] != "#") for v, t in tables.items()}


def check_restarted_agent(again: OvnNode) -> None:
    assert_whole(again.observe(ROUTER))
    for action in early_actions():
        again.apply(ROUTER, action)


def test_this_kernel_has_a_firewall():
    """One of the two is chosen, and the kernel takes a guard of it."""
    node = OvnNode(MemoryBridge())
    apply_all(node, ROUTER, [net.EnsureNamespace(), net.EnsureGuard(GUARD)])
    assert node.observe(ROUTER).guard == GUARD
    assert guards.choose().kind in {"nft", "iptables"}


def test_the_namespace_is_one_of_ip_netns(node):
    """`ip netns` lists it and enters it, and its inode is the one that processes in it have."""
    node.apply(ROUTER, net.EnsureNamespace())
    command = ["ip", "netns", "exec", namespace.name_of(ROUTER), "stat", "-Lc%i"]
    output = subprocess.run([*command, "/proc/self/ns/net"], check=True, capture_output=True)
    assert namespace.namespace_inode(ROUTER) == int(output.stdout)
    node.apply(ROUTER, net.RemoveNamespace())
    assert namespace.namespace_inode(ROUTER) is None


def test_a_file_without_a_namespace_is_no_namespace(node):
    """What a crash or a reboot leaves in /run/netns is observed as nothing, and is removed."""
    path = pathlib.Path("/run/netns") / namespace.name_of(ROUTER)
    path.touch()
    assert not node.observe(ROUTER).exists
    assert ROUTER in node.routers()
    node.apply(ROUTER, net.EnsureNamespace())
    assert node.observe(ROUTER).exists
    node.apply(ROUTER, net.RemoveNamespace())
    path.touch()
    node.apply(ROUTER, net.RemoveNamespace())
    assert ROUTER not in node.routers()


def test_a_daemon_is_spawned_inside(node, tmp_path):
    """A spawned process is in the namespace and session of its own, and writes to its file."""
    node.apply(ROUTER, net.EnsureNamespace())
    output = tmp_path / "output"
    script = 'stat -Lc%i /proc/self/ns/net; echo "$MARK"; ps -o sid= -p $$'
    argv = ["/bin/sh", "-c", script]
    env = {"PATH": os.environ["PATH"], "MARK": "marked"}
    pid = namespace.spawn(ROUTER, argv, env, str(output))
    wait_for(pid)
    inode, mark, session = output.read_text().split()
    assert (namespace.namespace_inode(ROUTER), "marked", pid) == (int(inode), mark, int(session))
    assert output.stat().st_mode & 0o777 == 0o600


def test_a_daemon_comes_before_what_computes(node):
    """Each of its threads, and also what its command becomes; the agent stays where it is."""
    node.apply(ROUTER, net.EnsureNamespace())
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    pid = namespace.spawn(ROUTER, ["/bin/sh", "-c", "exec sleep 60"], {})
    try:
        assert os.getpriority(os.PRIO_PROCESS, pid) == -5
        assert os.getpriority(os.PRIO_PROCESS, 0) == mine
    finally:
        os.kill(pid, signal.SIGKILL)
        wait_for(pid)


def wait_for(pid: int) -> None:
    """Wait until the process is gone."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with os.fdopen(fd):
        assert select.select([fd], [], [], 5)[0]


def test_what_cannot_be_spawned_is_told(node):
    """Without the namespace or the program it is Temporary, with its code."""
    with pytest.raises(Temporary) as caught:
        namespace.spawn(ROUTER, ["/bin/true"], {})
    assert caught.value.reason.code == "namespace_failed"
    node.apply(ROUTER, net.EnsureNamespace())
    with pytest.raises(Temporary, match="no/such"):
        namespace.spawn(ROUTER, ["/no/such"], {})


@pytest.fixture
def public_wire(node) -> Iterator:
    node.apply(ROUTER, net.EnsureNamespace())
    node.apply(ROUTER, net.EnsureLink(PUBLIC))
    wire = outer_wire(PUBLIC_DEVICE, PUBLIC.mac)
    yield wire
    wire.close()


def test_addresses_are_announced(node, public_wire):
    """Neighbours are told of both families' addresses, by frames that they will heed."""
    node.announce(ROUTER, PUBLIC_DEVICE)
    arp = public_wire.take(bytes([203, 0, 113, 20]) + bytes(6) + bytes([203, 0, 113, 20]))
    assert arp[:8] == bytes.fromhex("0001080006040001")
    mac = bytes.fromhex(PUBLIC.mac.replace(":", ""))
    assert arp[8:14] == mac
    advertisement = public_wire.take(b"\x02\x01" + mac)
    assert advertisement[7] == 255
    icmp = advertisement[40:]
    assert icmp[0] == 136
    pseudo = advertisement[8:40] + len(icmp).to_bytes(4) + (58).to_bytes(4)
    assert checksum(pseudo + icmp) == 0


def test_a_new_link_is_announced_by_itself(public_wire):
    """Nobody has to ask: a link that was made tells its neighbours."""
    public_wire.take(bytes([203, 0, 113, 20]) + bytes(6) + bytes([203, 0, 113, 20]))
