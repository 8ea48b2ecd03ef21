"""Each cause of failure has its code, on the side that began and on the side that answered."""

from __future__ import annotations

import dataclasses
import os
import signal
import time

import pytest

from swanherd.core.ike import IkeConfig, TerminateChild, TerminateIke
from swanherd.core.model import (
    Dpd,
    DpdAction,
    IkeVersion,
    Phase1Mode,
    Secret,
    SiteConnection,
)
from swanherd.testing import builders
from tests.functional.swan.stage import OPTIONS, WEST_NET, Stage, children_up, mirror, pair, run

V1 = {"ike": builders.ike_policy(version=IkeVersion.V1)}
V2 = {"ike": builders.ike_policy(version=IkeVersion.V2)}
VERSIONS = pytest.mark.parametrize("version", [V1, V2], ids=["v1", "v2"])


def negotiate(
    stage: Stage, west: SiteConnection, east: SiteConnection
) -> tuple[IkeConfig, IkeConfig]:
    """Load both sides and let west begin."""
    here, there = stage.load(stage.west, west), stage.load(stage.east, east)
    stage.initiate(stage.west, here)
    return here, there


def expect(
    stage: Stage, configs: tuple[IkeConfig, IkeConfig], initiator: str, responder: str | None
) -> None:
    """Wait for both sides' codes; None where the responder can know nothing."""
    stage.fault(stage.west, configs[0], initiator)
    if responder is not None:
        stage.fault(stage.east, configs[1], responder)


def bring_up(stage: Stage, **changes: object) -> tuple[IkeConfig, IkeConfig]:
    configs = negotiate(stage, *pair(**changes))
    for router, config in zip((stage.west, stage.east), configs, strict=True):
        is_up = children_up(config)
        stage.wait(router, lambda o, is_up=is_up: is_up(o) and not o.faults)
    return configs


@pytest.mark.parametrize(
    ("version", "initiator"), [(V1, "psk_mismatch"), (V2, "psk_or_id_mismatch")], ids=["v1", "v2"]
)
def test_another_psk(started: Stage, version: dict[str, object], initiator: str) -> None:
    """The responder knows that it is the key; IKEv2 hides it from the initiator."""
    west, east = pair(**version)
    configs = negotiate(started, west, dataclasses.replace(east, psk=Secret("other")))
    expect(started, configs, initiator, "psk_mismatch")


def test_each_of_a_peers_connections_has_its_own_cause(started: Stage) -> None:
    """A failure that charon can't name hides no cause that it could, nor concerns what is up."""
    west, east = started.west, started.east
    wrong = [
        {},
        {"psk": Secret("other")},
        {"peer_id": "other.example.org"},
        {"local_id": "surprise.example.org"},
    ]
    here, there = [], []
    for number, changes in enumerate(wrong):
        ids = {"local_id": f"w{number}.example.org", "peer_id": f"e{number}.example.org"}
        mine = dataclasses.replace(pair(**V2)[0], id=builders.make_id(f"w{number}"), **ids)
        there.append(started.load(east, dataclasses.replace(mirror(mine), **changes)))
        here.append(started.load(west, mine))
    started.initiate(west, here[0])
    started.wait(east, children_up(there[0]))
    expected = ["psk_mismatch", "peer_id_mismatch", "local_id_refused"]
    for number, code in enumerate(expected, 1):
        started.initiate(west, here[number])
        started.fault(east, there[number], code)
    names = [config.name for config in there[1:]]
    faults = {fault.config: fault.code for fault in started.swan.observe(east).faults}
    assert dict(zip(names, expected, strict=True)) == faults


@pytest.mark.parametrize(
    ("ike", "other", "code"),
    [
        ({"version": IkeVersion.V2}, {"psk": Secret("other")}, None),
        ({"version": IkeVersion.V2}, {"encryption": "aes-128"}, None),
        (
            {"version": IkeVersion.V1, "mode": Phase1Mode.AGGRESSIVE},
            {"psk": Secret("other")},
            None,
        ),
        ({"version": IkeVersion.V1}, {"psk": Secret("other")}, "psk_mismatch"),
        (
            {"version": IkeVersion.V1},
            {"encryption": "aes-128"},
            "ike_no_proposal_or_no_connection",
        ),
    ],
    ids=["v2 key", "v2 policy", "v1 aggressive key", "v1 key", "v1 policy"],
)
def test_what_a_responder_can_tell_apart(
    stage: Stage, ike: dict[str, object], other: dict[str, object], code: str | None
) -> None:
    """Two connections of other identities between two addresses: what core/peering goes by."""
    stage.start(dataclasses.replace(OPTIONS, aggressive_psk=True))
    psk = {key: value for key, value in other.items() if key == "psk"}
    policy = {key: value for key, value in other.items() if key != "psk"}
    here = []
    for number, (key, algorithms) in enumerate([({}, {}), (psk, policy)]):
        mine = dataclasses.replace(
            pair(ike=builders.ike_policy(**ike, **algorithms))[0],
            id=builders.make_id(f"w{number}"),
            local_id=f"w{number}.example.org",
            peer_id=f"e{number}.example.org",
            selectors=(builders.selector(WEST_NET, f"10.{92 + number}.0.0/24"),),
            **key,
        )
        stage.load(stage.east, mirror(mine))
        here.append(stage.load(stage.west, mine))
    for config in here:
        stage.initiate(stage.west, config)
        if code is None or config is here[0]:
            stage.wait(stage.west, children_up(config))
        else:
            stage.fault(stage.west, config, code)


def test_our_identity_refused_v2(started: Stage) -> None:
    """The responder has no config for the identity; the initiator can't tell it from the key."""
    west, east = pair(local_id="west.example.org", **V2)
    configs = negotiate(started, west, dataclasses.replace(east, peer_id="other.example.org"))
    expect(started, configs, "psk_or_id_mismatch", "peer_id_mismatch")


def test_our_identity_refused_v1(started: Stage) -> None:
    """In IKEv1 the initiator learns that it is the identity."""
    west, east = pair(local_id="west.example.org", **V1)
    configs = negotiate(started, west, dataclasses.replace(east, peer_id="other.example.org"))
    expect(started, configs, "local_id_refused", "peer_id_mismatch")


@VERSIONS
def test_peer_presents_another_identity(started: Stage, version: dict[str, object]) -> None:
    """The initiator sees an identity that isn't peer_id.

    In IKEv2 the responder hears which one was expected; in IKEv1 only an end (RFC 2408 §3.15).
    """
    west, east = pair(**version)
    east = dataclasses.replace(east, local_id="surprise.example.org")
    configs = negotiate(started, west, east)
    initiator = "peer_id_mismatch" if version is V1 else "psk_or_id_mismatch"
    responder = "peer_deleted" if version is V1 else "local_id_refused"
    expect(started, configs, initiator, responder)


@VERSIONS
def test_peer_has_no_connection(started: Stage, version: dict[str, object]) -> None:
    """A peer that has nothing for us refuses as if the algorithms differed."""
    here = started.load(started.west, pair(**version)[0])
    started.initiate(started.west, here)
    started.fault(started.west, here, "ike_no_proposal_or_no_connection")


@VERSIONS
def test_other_networks(started: Stage, version: dict[str, object]) -> None:
    """Both sides see that the traffic selectors differ."""
    west, east = pair(**version)
    other = (builders.selector("10.93.0.0/24", "10.91.0.0/24"),)
    configs = negotiate(started, west, dataclasses.replace(east, selectors=other))
    expect(started, configs, "traffic_selector_mismatch", "traffic_selector_mismatch")


@VERSIONS
def test_nobody_answers(started: Stage, version: dict[str, object]) -> None:
    """Silence has its code at the first retransmission, and no SA stays after the last."""
    run("ip", "-n", started.namespaces[started.east], "link", "set", "wire", "down")
    run(
        *("ip", "-n", started.namespaces[started.west], "neighbour", "replace", "192.0.2.2"),
        *("lladdr", "02:00:00:00:00:09", "dev", "wire", "nud", "permanent"),
    )
    here = started.load(started.west, pair(**version)[0])
    started.initiate(started.west, here)
    started.fault(started.west, here, "peer_silent")
    observed = started.wait(started.west, lambda o: not o.ike_sas)
    assert [f.code for f in observed.faults] == ["peer_silent"]


def test_no_route(started: Stage) -> None:
    """A peer to which there is no route is told from one that is silent."""
    west = dataclasses.replace(pair(**V2)[0], peer_address="203.0.113.9", peer_id="203.0.113.9")
    here = started.load(started.west, west)
    started.initiate(started.west, here)
    started.fault(started.west, here, "peer_unreachable")


@VERSIONS
def test_peer_ends_the_tunnel(started: Stage, version: dict[str, object]) -> None:
    """Who is told to end knows that the peer did it; who ended it has no fault."""
    here, there = bring_up(started, **version)
    (sa,) = started.swan.observe(started.east).ike_sas
    started.swan.apply(started.east, TerminateIke(sa.unique_id, force=False))
    started.fault(started.west, here, "peer_deleted")
    assert started.wait(started.east, lambda o: not o.ike_sas).faults == ()
    assert there.name in {c.name for c in started.swan.observe(started.east).configs}


@VERSIONS
def test_peer_ends_a_child(started: Stage, version: dict[str, object]) -> None:
    """A child that the peer ends is a fault, although the IKE SA goes on."""
    here, _ = bring_up(started, **version)
    (sa,) = started.swan.observe(started.east).ike_sas
    started.swan.apply(started.east, TerminateChild(sa.children[0].unique_id))
    started.fault(started.west, here, "peer_deleted")
    assert started.swan.observe(started.west).ike_sas


@VERSIONS
def test_peer_dies(started: Stage, version: dict[str, object]) -> None:
    """Dead peer detection has its code once charon gives up."""
    here, _ = bring_up(started, dpd=Dpd(DpdAction.HOLD, 1, 2), **version)
    os.kill(started.pid(started.east), signal.SIGKILL)
    started.fault(started.west, here, "dpd_timeout")
    started.wait(started.west, lambda o: not o.ike_sas)


@VERSIONS
def test_what_we_end_by_force_is_not_a_dead_peers(
    started: Stage, version: dict[str, object]
) -> None:
    """Also if the peer hasn't answered yet: charon then tells of both in the same words."""
    bring_up(started, dpd=Dpd(DpdAction.HOLD, 1, 60), **version)
    (sa,) = started.swan.observe(started.west).ike_sas
    os.kill(started.pid(started.east), signal.SIGSTOP)
    # A question is no event; IKEv1 doesn't even repeat it.
    until = time.monotonic() + 10
    while started.swan.observe(started.west).ike_sas[0].unanswered is None:
        assert time.monotonic() < until
        time.sleep(0.05)
    started.swan.apply(started.west, TerminateIke(sa.unique_id, force=True))
    started.wait(started.west, lambda o: not o.ike_sas)
    # What it tells of the end is read by another thread.
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        assert started.swan.observe(started.west).faults == ()


@VERSIONS
def test_success_clears(started: Stage, version: dict[str, object]) -> None:
    """Once a child is up there is no fault, and `first` of a fault is when the series began."""
    west, east = pair(**version)
    wrong = dataclasses.replace(east, psk=Secret("other"))
    here = started.load(started.west, west)
    started.load(started.east, wrong)
    started.initiate(started.west, here)
    first = started.wait(started.west, lambda o: bool(o.faults) and not o.ike_sas).faults[0]
    started.initiate(started.west, here)
    again = started.wait(
        started.west, lambda o: o.faults[0].last > first.last and not o.ike_sas
    ).faults[0]
    assert (first.first, first.code) == (again.first, again.code)
    started.load(started.east, mirror(west))
    started.initiate(started.west, here)
    # charon lists a child a moment before its event is read.
    is_up = children_up(here)
    started.wait(started.west, lambda o: is_up(o) and not o.faults)


def test_a_success_is_seen_in_the_list_before_its_failure_is_forgotten(
    started: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer's attempt succeeds after the list was asked for, and is told of sooner."""
    west, east = pair(**V2)
    _, there = negotiate(started, dataclasses.replace(west, psk=Secret("another")), east)
    started.fault(started.east, there, "psk_mismatch")
    lists = started.swan._router(started.east).lists
    look = lists.look

    def slow(*args: object) -> object:
        listed = look(*args)
        monkeypatch.undo()
        started.initiate(started.west, started.load(started.west, west))
        router = started.swan._router(started.east)
        started.looks.until(lambda: not router.memory.faults)
        return listed

    monkeypatch.setattr(lists, "look", slow)
    seen = started.swan.observe(started.east)
    assert not children_up(there)(seen)
    assert [fault.code for fault in seen.faults] == ["psk_mismatch"]
    started.wait(started.east, lambda o: children_up(there)(o) and not o.faults)
