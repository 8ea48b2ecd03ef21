"""What a dead charon left in the kernel goes, but nothing that carries traffic."""

from __future__ import annotations

import dataclasses
import ipaddress

from swanherd.core.ike import (
    ChildSa,
    IkeSa,
    Initiate,
    LoadConfig,
    LoadedConfig,
    ObservedCharon,
    SaState,
    SwanAction,
)
from swanherd.core.leftovers import leftovers
from swanherd.core.model import ChildDetails, DataPlane, IkeVersion
from swanherd.core.network import (
    Direction,
    KernelPolicy,
    KernelSa,
    ObservedNetwork,
    RemoveKernelPolicy,
    RemoveKernelSa,
)
from swanherd.core.peering import peerings
from swanherd.core.planner import Observed, options_of, plan
from swanherd.core.tunnels import Timing
from swanherd.testing import builders

HERE, PEER, OTHER = map(ipaddress.ip_address, ("203.0.113.2", "198.51.100.2", "198.51.100.9"))
DESIRED = builders.desired(
    builders.connection(
        selectors=tuple(builders.selector("10.1.0.0/24", f"10.{n}.0.0/24") for n in (2, 3))
    )
)
(PEERING,) = peerings(DESIRED)
OLD = KernelSa(HERE, PEER, 50, 1), KernelSa(PEER, HERE, 50, 2)
NEW = KernelSa(HERE, PEER, 50, 3), KernelSa(PEER, HERE, 50, 4)
STRANGE = KernelSa(HERE, OTHER, 50, 5)


def charon(*spis: int) -> ObservedCharon:
    """Return a charon with the wanted children, which have these SPIs."""
    children = tuple(
        ChildSa(name, number, SaState.INSTALLED, spis=frozenset(spis))
        for number, name in enumerate(sorted(PEERING.children))
    )
    sa = IkeSa(
        PEERING.config.name, 1, SaState.ESTABLISHED, True, str(HERE), str(PEER), False, children
    )
    return ObservedCharon(running=True, ike_sas=(sa,))


def removed(sas: tuple[KernelSa, ...], seen: ObservedCharon) -> set[KernelSa]:
    network = ObservedNetwork(exists=True, kernel_sas=frozenset(sas))
    return {a.sa for a in leftovers(DESIRED, network, seen) if isinstance(a, RemoveKernelSa)}


def test_what_carries_traffic_stays_until_something_takes_its_place():
    """The SAs of a dead charon stay while their peer's tunnel is awaited, and then go."""
    sas = (*OLD, *NEW, STRANGE)
    assert {STRANGE} == removed(sas, ObservedCharon(running=True))
    assert {*OLD, STRANGE} == removed(sas, charon(3, 4))


def test_in_ikev1_what_carried_stays_until_the_peer_surely_has_the_new():
    """The peer sends by the old SAs until our last message is there."""
    assert gone(IkeVersion.V1, 0) == set()
    assert gone(IkeVersion.V1, 2) == set(OLD)


def test_in_ikev2_what_carried_goes_when_there_is_a_new_one():
    """Both sides send by the new one at once."""
    assert gone(IkeVersion.V2, 0) == set(OLD)


def gone(version: IkeVersion, installed: int) -> set[KernelSa]:
    """Return the old SAs that go, so many seconds after the new child was installed."""
    desired = builders.desired(builders.connection(ike=builders.ike_policy(version=version)))
    (peering,) = peerings(desired)
    network = ObservedNetwork(exists=True, kernel_sas=frozenset((*OLD, *NEW)))
    details = ChildDetails("", "", None, None, None, 0, 0, 0, 0, installed, None, None)
    (sa,) = charon(3, 4).ike_sas
    (name,) = peering.children
    child = ChildSa(name, 1, SaState.INSTALLED, details, frozenset({3, 4}))
    sa = dataclasses.replace(sa, config=peering.config.name, children=(child,))
    seen = ObservedCharon(running=True, ike_sas=(sa,))
    found = leftovers(desired, network, seen)
    return {a.sa for a in found if isinstance(a, RemoveKernelSa)}


def planned(sas: tuple[KernelSa, ...], seen: ObservedCharon) -> list[SwanAction]:
    options = options_of(DESIRED, DataPlane.KERNEL)
    seen = dataclasses.replace(
        seen, options=options, secrets=frozenset({PEERING.config.connection.id})
    )
    network = ObservedNetwork(exists=True, kernel_sas=frozenset(sas))
    told = plan(DESIRED, Observed(network, seen), DataPlane.KERNEL, Timing(0.0)).actions
    return [a for a in told if isinstance(a, (LoadConfig, Initiate))]


def test_a_new_charon_takes_the_tunnels_of_a_dead_one_over_quietly():
    """The peer is told of no new beginning, and all pairs begin at once; then it is as ever."""
    names = sorted(PEERING.children)
    name = PEERING.config.name
    begun = [Initiate(name, child) for child in names]
    fresh = ObservedCharon(running=True)
    assert planned((), fresh) == [LoadConfig(PEERING.config), *begun[:1]]
    assert planned(OLD, fresh) == [LoadConfig(PEERING.config, quiet=True), *begun]
    quiet = LoadedConfig(name, PEERING.children, quiet=True)
    loud = dataclasses.replace(quiet, quiet=False)
    loaded = dataclasses.replace(fresh, configs=frozenset({quiet}))
    assert planned(OLD, loaded) == begun
    up = dataclasses.replace(charon(3, 4), configs=frozenset({quiet}))
    assert planned((*OLD, *NEW), up) == [LoadConfig(PEERING.config)]
    assert planned(NEW, dataclasses.replace(up, configs=frozenset({loud}))) == []


def test_without_a_charon_nothing_goes():
    """While no charon runs the kernel's SAs are all there is."""
    assert removed((*OLD, STRANGE), ObservedCharon(running=False)) == set()


def test_what_charon_knows_stays():
    """SAs of a child in any state are charon's own to remove."""
    assert removed(NEW, charon(3, 4)) == set()
    child = ChildSa("old", 9, SaState.DELETED, spis=frozenset({1, 2}))
    seen = charon(3, 4)
    (sa,) = seen.ike_sas
    both = dataclasses.replace(sa, children=(*sa.children, child))
    assert removed((*OLD, *NEW), dataclasses.replace(seen, ike_sas=(both,))) == set()


def test_policies_of_no_wanted_pair_go():
    """A policy goes unless it is of a wanted pair, or of a part of one; not before others did."""
    wanted = builders.selector("10.1.0.0/24", "10.2.0.0/24")
    narrow = builders.selector("10.1.0.0/25", "10.2.0.0/24")
    gone = builders.selector("10.1.0.0/24", "10.4.0.0/24")
    policies = [KernelPolicy(s, d) for s in (wanted, narrow, gone) for d in Direction]
    network = ObservedNetwork(exists=True, kernel_policies=frozenset(policies))
    stale = {RemoveKernelPolicy(p) for p in policies if p.selector == gone}
    assert stale == set(leftovers(DESIRED, network, charon(3, 4)))
    ending = IkeSa(
        "x", 2, SaState.ESTABLISHED, True, "", "", False, (ChildSa("y", 3, SaState.INSTALLED),)
    )
    busy = dataclasses.replace(charon(3, 4), ike_sas=(*charon(3, 4).ike_sas, ending))
    assert set(leftovers(DESIRED, network, busy)) == set()
