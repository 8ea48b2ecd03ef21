"""Kernel ESP in routers' own namespaces, as the L3 agent makes them: distributed and legacy.

West's tunnel is in `snat-`, `qrouter-` steers to it, and its workload has a floating IP; east's
is in `qrouter-`. Neutron's rules are in all of them. This kernel has no nf_tables, so the guard is
the one by iptables, in Neutron's own tables.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from lab import router_rules as rules
from swanherd.core.model import (
    Dpd,
    DpdAction,
    HomeNamespace,
    IkeVersion,
    RouterReport,
    RowStatus,
    Status,
)
from swanherd.testing import builders as make
from tests.functional.l3.stand import (
    EAST,
    FLOATING,
    INTERNET,
    WEST,
    Capture,
    Site,
    desired,
    detours,
    distributed,
    legacy,
    run,
    within,
)
from tests.kernel.homes import own_namespaces
from tests.kernel.wires import ping, too_big_answer, transfer

ICMP, ESP = 1, 50

Both = tuple[Site, Site]


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    with own_namespaces() as stand:
        yield stand.site(WEST, distributed), stand.site(EAST, legacy)


def charons(site: Site) -> list[int]:
    return [int(pid) for pid in run("ip", "netns", "pids", site.key).split()]


def connect(both: Both, outer: str = "6", **changes: object) -> list[int]:
    """Let both have a connection of each inner family over that one; return their MTUs."""
    west, east = both
    home = make.home(HomeNamespace.CENTRAL, distributed=True, detours=detours(west.plan))
    for here, there, is_in in ((west, east, home), (east, west, make.home())):
        of_four, of_six = (
            desired(here.plan, there.plan, is_in, inner + outer, **changes) for inner in ("4", "6")
        )
        connections = of_four.connections + of_six.connections
        here.source.desired = dataclasses.replace(of_four, connections=connections)
    west.settle(west.steering)
    east.turn()
    told = {row.id: row.effective_mtu for row in west.until(Status.ACTIVE).connections}
    east.until(Status.ACTIVE)
    assert west.source.desired is not None
    return [told[c.id] or 0 for c in west.source.desired.connections]


@pytest.mark.parametrize("version", IkeVersion)
@pytest.mark.parametrize("outer", ["4", "6"])
def test_each_family_crosses_over_each(both: Both, outer: str, version: IkeVersion) -> None:
    """Both ways, up to the largest packet, and by TCP; as ESP and nothing in clear."""
    mtus = connect(both, outer, ike=make.ike_policy(version=version))
    west, east = both
    with Capture() as seen:
        for mtu, one, other in zip(mtus, WEST.inner(5), EAST.inner(5), strict=True):
            assert ping(west.workload, one, other)
            assert ping(east.workload, other, one, size=mtu)
            assert too_big_answer(west.workload, one, other, mtu + 1) == mtu
            assert too_big_answer(east.workload, other, one, mtu + 1) == mtu
            assert transfer(west.workload, one, east.workload, other, 100_000) == 100_000
            assert transfer(east.workload, other, west.workload, one, 100_000) == 100_000
    for one, other in zip(WEST.networks, EAST.networks, strict=True):
        assert not seen.between(one, other)
    number = "46".index(outer)
    assert {WEST.public[number], EAST.public[number]} <= seen.sources(ESP)
    assert not seen.fragments()


@pytest.mark.parametrize(("outer", "version"), [("4", IkeVersion.V2), ("6", IkeVersion.V1)])
def test_a_dead_peer_is_noticed_and_comes_back(
    both: Both, outer: str, version: IkeVersion
) -> None:
    """Its wire is cut: west says why within seconds, nothing leaves in clear; then all is well."""
    dpd = Dpd(DpdAction.RESTART, 1, 3)
    connect(both, outer, ike=make.ike_policy(version=version), dpd=dpd)
    west, _ = both
    with Capture() as seen:
        run("ip", "-n", INTERNET, "link", "set", "to-east", "down")
        try:
            report = until(west, lambda row: row.status is not Status.ACTIVE)
            codes = {row.reason.code for row in report.connections if row.reason}
            assert codes <= {"dpd_timeout", "peer_silent"}
            assert codes
            for address in EAST.inner(5):
                assert west.gets_no_answer(address)
        finally:
            run("ip", "-n", INTERNET, "link", "set", "to-east", "up")
        for site in both:
            until(site, lambda row: row.status is Status.ACTIVE)
        for address in EAST.inner(5):
            assert west.ping(address)
    for one, other in zip(WEST.networks, EAST.networks, strict=True):
        assert not seen.between(one, other)


def until(site: Site, met: Callable[[RowStatus], bool]) -> RouterReport:
    """Turn, as the agent would at its timers too, until it is so of every connection."""
    deadline = time.monotonic() + 40
    while True:
        report = site.turn().report
        if report is not None and all(map(met, report.connections)):
            return report
        assert time.monotonic() < deadline, report
        time.sleep(0.2)


def test_workloads_see_each_others_own_addresses(both: Both) -> None:
    """Neither SNAT nor the floating IP meets a packet of a pair."""
    connect(both)
    west, east = both
    for here, there in ((west, east), (east, west)):
        others = ("INPUT", "!", "-s", here.plan.inner(5)[0], "-j", "DROP")
        within(there.workload, "iptables", "-A", *others)
        assert here.ping(there.plan.inner(5)[0])
        within(there.workload, "iptables", "-D", *others)


def test_other_traffic_is_translated_as_before(both: Both) -> None:
    """The internet sees the router's address and the floating IP, and reaches the latter."""
    connect(both)
    west, east = both
    with Capture() as seen:
        assert west.ping("198.51.100.7")
        assert east.ping("198.51.100.7")
    assert {FLOATING["west"], EAST.public[0]} <= seen.sources(ICMP)
    assert "1 received" in within(INTERNET, "ping", "-n", "-c", "1", "-W", "2", FLOATING["west"])


def test_neutrons_rewrites_change_nothing(both: Both) -> None:
    """The L3 agent writes its chains into the same tables; ours stay, and nothing is to do."""
    connect(both)
    west, east = both
    for site in both:
        site.settle()
    rules.rewrite(east.key, rules.centralized(EAST.qg, (EAST.qr,), EAST.public[0]))
    assert east.turn().actions == 0
    assert east.ping(WEST.inner(5)[0], count=2)
    assert west.ping(EAST.inner(5)[0], count=2)


def test_a_pair_is_closed_without_sas(both: Both) -> None:
    """With charon and all of its SAs and policies gone nothing passes in clear, either way."""
    connect(both)
    west, east = both
    for site in both:
        for pid in charons(site):
            os.kill(pid, signal.SIGKILL)
        for what in ("state", "policy"):
            run("ip", "-n", site.key, "xfrm", what, "flush")
    # Ways for both networks in clear, and an attacker: what nothing but the guard stops.
    run("ip", "-n", INTERNET, "route", "replace", EAST.networks[0], "via", EAST.public[0])
    run("ip", "-n", INTERNET, "address", "replace", "10.1.0.77/32", "dev", "br0")
    attack = ("ping", "-n", "-c", "1", "-W", "1", "-I", "10.1.0.77", EAST.inner(5)[0])
    with Capture() as seen:
        assert not west.ping(EAST.inner(5)[0])
        assert not east.ping(WEST.inner(5)[0])
    assert not seen.between(WEST.networks[0], EAST.networks[0])
    assert not {FLOATING["west"], EAST.public[0], WEST.public[0]} & seen.sources(ICMP)
    assert east.arrived("10.1.0.77", lambda: subprocess.run(
        ("ip", "netns", "exec", INTERNET, *attack), check=False, capture_output=True
    )) == 0  # fmt: skip
    assert east.ping("198.51.100.7")
    connect(both)
    assert west.ping(EAST.inner(5)[0], count=2)


def test_what_was_taken_is_given_back(both: Both) -> None:
    """Without a VPN no chain, rule, SA or policy of ours is left."""
    connect(both)
    for site in both:
        site.source.desired = None
        for key in {site.key, site.steering}:
            site.settle(key)
            assert not site.firewall.is_there(key)
            assert "10.1.0.0/24 to" not in run("ip", "-n", key, "rule")
        assert not run("ip", "-n", site.key, "xfrm", "state")
        assert "10.1.0.0" not in run("ip", "-n", site.key, "xfrm", "policy")
