"""What the questions to a peer find out: a real charon, nobody, and a way that is narrow."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from swanherd.core.ike import StartCharon
from swanherd.dataplane.privileged import probe
from swanherd.descriptors import SELECTABLE
from tests.functional.swan.stage import OPTIONS, Stage, make_stage

SIZES = (576, 1300, 1400, 1500)


@pytest.fixture
def stage(own_network: None) -> Iterator[Stage]:
    with make_stage() as made:
        for peer in ("192.0.2.2", "2001:db8::2"):
            # A link that has just come up doesn't find its neighbours at once.
            ping = ("ping", "-q", "-c", "1", "-i", "0.1", "-w", "5", peer)
            west = made.namespaces[made.west]
            subprocess.run(["ip", "netns", "exec", west, *ping], check=True)
        yield made


def ask(stage: Stage, local: str, peer: str) -> dict[str, object]:
    seen: dict[str, object] = probe.probe(
        stage.namespaces[stage.west], local, peer, SIZES, 0x42, 1.0
    )
    return seen


@pytest.mark.parametrize(
    ("local", "peer"),
    [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")],
    ids=["IPv4", "IPv6"],
)
def test_a_charon_answers_and_keeps_nothing(stage: Stage, local: str, peer: str) -> None:
    """Both ports answer, pings of every size pass, and no IKE SA comes of it."""
    stage.swan.apply(stage.east, StartCharon(OPTIONS))
    seen = ask(stage, local, peer)
    assert seen == {
        "route": "wire",
        "ports": [(500, "answered"), (4500, "answered")],
        "largest": 1500,
    }
    assert stage.swan.observe(stage.east).ike_sas == ()


def test_a_process_with_many_files_open_hears_the_answers(stage: Stage) -> None:
    """What select(2) can't take is heard too."""
    stage.swan.apply(stage.east, StartCharon(OPTIONS))
    taken = [os.dup(2)]
    while taken[-1] < SELECTABLE:
        taken.append(os.dup(2))
    try:
        seen = ask(stage, "192.0.2.1", "192.0.2.2")
    finally:
        for number in taken:
            os.close(number)
    assert seen["ports"] == [(500, "answered"), (4500, "answered")]


@pytest.mark.parametrize(
    ("local", "peer"),
    [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")],
    ids=["IPv4", "IPv6"],
)
def test_nobody_there_is_told_by_icmp(stage: Stage, local: str, peer: str) -> None:
    """The host is up, but no daemon listens on IKE's ports."""
    assert ask(stage, local, peer)["ports"] == [(500, "refused"), (4500, "refused")]


def test_a_silent_peer_and_no_route(stage: Stage) -> None:
    """An address that isn't there is silent; one that no route leads to has none."""
    silent = ask(stage, "192.0.2.1", "192.0.2.9")
    assert (silent["route"], silent["largest"]) == ("wire", 0)
    assert ask(stage, "192.0.2.1", "198.51.100.1")["route"] is None


def test_a_narrow_way_shows(stage: Stage) -> None:
    """The largest ping that is answered is the largest that the way carries whole."""
    east = stage.namespaces[stage.east]
    subprocess.run(["ip", "-n", east, "link", "set", "wire", "mtu", "1400"], check=True)
    assert ask(stage, "192.0.2.1", "192.0.2.2")["largest"] == 1400
