"""A cloud and sites that aren't ours: strongSwan by hand, alone and behind a shared NAT."""

import pytest

from lab import peers
from lab.boxes import Box
from lab.capture import Capture
from lab.layout import INTERNET_BOX
from lab.sites import boot, make_site
from lab.vpn import connect, doctor, make_end, remove_end, wait_status

KEY = "the lab's own key"


@pytest.fixture
def ends(clouds, clients, number):
    """Ends of cloud a by IKE version, each of its own site; with a workload each."""
    made = []

    def make(version, mode="main"):
        cidr = f"10.{number}.{len(made)}.0/24"
        site = make_site(clouds[0], clients[0], f"p{number}-{len(made)}", [cidr])
        workload = boot(clouds[0], clients[0], site, f"p{number}-{len(made)}")
        ike = {"ike_version": f"v{version}", "phase1_negotiation_mode": mode}
        made.append(make_end(clouds[0], clients[0], site, ike=ike))
        return made[-1], workload, cidr

    yield make
    for end in made:
        remove_end(end)


@pytest.mark.parametrize("version", [1, 2], ids=["ikev1", "ikev2"])
def test_a_site_by_hand_and_the_cloud_begin_either(lab, ends, number, version):
    """Whoever begins: pings both ways, and nothing in clear before the internet."""
    end, workload, cidr = ends(version)
    public, network = f"192.0.{number}.2/24", f"10.{number}.200.0/24"
    peer = peers.add_peer(lab, f"one{number}", public, network)
    with Capture.start(Box(lab, INTERNET_BOX), f"h-{peer.name}", f"net {cidr}") as wire:
        peer.start(end.address(4), cidr, KEY, version)
        connection = connect(end, public.split("/")[0], [cidr], [network])
        wait_status(end, connection, "ACTIVE")
        workload.wait_for_ping(peer.address, 10)
        assert peer.pings(workload.ipv4)
        assert wire.lines() == []
    peer.stop()


@pytest.mark.parametrize("version", [1, 2], ids=["ikev1", "ikev2"])
def test_peers_behind_one_nat_known_by_their_ids_only(lab, ends, number, version):
    """Two at once, with addresses that nobody knows before: each has its own network."""
    end, workload, cidr = ends(version, "aggressive" if version == 1 else "main")
    nat, inside = f"nat{number}", f"192.168.{number}.0/24"
    peers.add_nat(lab, nat, f"192.0.{number}.2/24", inside)
    behind, connections = [], []
    for index in (1, 2):
        network = f"10.{number}.{200 + index}.0/24"
        name = f"in{index}x{number}"
        peer = peers.Peer(lab, name, network, f"{name}@branch.example.org")
        behind.append(peers.add_peer_behind(lab, nat, f"192.168.{number}.{9 + index}/24", peer))
        connections.append(
            connect(
                end,
                "0.0.0.0",
                [cidr],
                [network],
                peer_id=peer.identity,
                psk=f"{KEY} {index}",
                initiator="response-only",
            )
        )
    for index, peer in enumerate(behind, 1):
        peer.start(end.address(4), cidr, f"{KEY} {index}", version)
        peer.initiate()
    for connection in connections:
        wait_status(end, connection, "ACTIVE")
    for peer in behind:
        assert peer.pings(workload.ipv4)
        assert workload.pings(peer.address)
    for connection in connections:
        seen = {f["check"]: f["seen"] for f in doctor(end, connection)["findings"]}
        assert seen["peer"] == "it comes to us"
        assert seen["NAT"].startswith("in front of the peer (its port is ")
    for peer in behind:
        peer.stop()
