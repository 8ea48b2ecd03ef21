"""The kernel tells of what somebody takes out of a namespace."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from swanherd.core import network as net
from swanherd.core.model import RouterId
from swanherd.core.network import TRANSIT_DEVICE
from swanherd.dataplane import guards, namespace
from swanherd.dataplane.guards import Firewall
from swanherd.testing import builders as make
from swanherd.testing.node_contract import GUARD, ROUTER, build
from tests.functional.dataplane.stand import RealHands, ip, nft

NFT = pytest.mark.skipif(guards.choose().kind != "nft", reason="the kernel has no nf_tables")
TABLE = ("table", "inet", "swanherd")


@pytest.fixture
def firewall() -> Firewall:
    """What this kernel has; whose words the guard is in makes no difference to the rest."""
    return guards.choose()


@pytest.fixture
def hands(firewall: Firewall) -> RealHands:
    return RealHands(firewall)


@pytest.fixture(autouse=True)
def built(node, hands):
    """A whole namespace that is watched, and of which nothing is left to tell."""
    build(node, hands)
    removed(0.0)
    while removed(0.0):
        pass
    yield
    assert namespace.wait_for_removals([], 0.0) == frozenset()


def removed(seconds: float = 5.0) -> bool:
    return namespace.wait_for_removals([ROUTER], seconds) == {ROUTER}


@pytest.mark.parametrize(
    "harm",
    [
        ("route", "flush", "table", "all", "dev", TRANSIT_DEVICE),
        ("-6", "route", "flush", "table", "all", "dev", TRANSIT_DEVICE),
        ("rule", "flush", "protocol", "90"),
        ("-6", "rule", "flush", "protocol", "90"),
        ("link", "set", TRANSIT_DEVICE, "down"),
        ("link", "delete", TRANSIT_DEVICE),
        ("address", "flush", "dev", TRANSIT_DEVICE),
    ],
    ids=" ".join,
)
def test_what_is_taken_away_is_told_once(harm):
    ip(ROUTER, *harm)
    assert removed()
    assert not removed(0.0)


@NFT
@pytest.mark.parametrize("harm", [("flush", *TABLE), ("delete", *TABLE), ("flush", "ruleset")])
def test_a_guard_that_is_flushed_is_told(harm):
    nft(ROUTER, *harm)
    assert removed()


def test_what_comes_is_not_told():
    """Nor is what goes of another table."""
    ip(ROUTER, "route", "add", "192.0.2.0/24", "dev", TRANSIT_DEVICE)
    ip(ROUTER, "rule", "add", "from", "192.0.2.0/24", "lookup", "77")
    ip(ROUTER, "address", "add", "192.0.2.1/32", "dev", TRANSIT_DEVICE)
    assert not removed(0.0)


@NFT
def test_another_table_is_nobody_s_matter():
    nft(ROUTER, "add", "table", "inet", "other")
    nft(ROUTER, "delete", "table", "inet", "other")
    assert not removed(0.0)


def ours(node) -> None:
    """Remove what the agent has made, as a turn does; it is far more than one event."""
    seen = node.observe(ROUTER)
    for rule in seen.rules:
        node.apply(ROUTER, net.RemoveRule(rule))
    for route in seen.routes:
        node.apply(ROUTER, net.RemoveRoute(route))
    node.apply(ROUTER, net.EnsureGuard(dataclasses.replace(GUARD, pairs=frozenset())))
    assert not node.observe(ROUTER).rules


def test_what_the_agent_removes_itself_is_not_told(node):
    """It looks at what its turn has left anyhow."""
    ours(node)
    assert not removed(0.0)


def test_nor_while_somebody_waits(node):
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(removed, 1.0)
        ours(node)
        assert not waiting.result()


def test_what_somebody_else_removed_before_is_told_all_the_same(node):
    ip(ROUTER, "rule", "flush", "protocol", "90")
    ours(node)
    assert removed()
    assert not removed(0.0)


def test_a_namespace_that_is_gone_is_told_once():
    subprocess.run(["ip", "netns", "delete", namespace.name_of(ROUTER)], check=True)
    assert removed()
    assert not removed(0.0)


MANY = """
import sys
from swanherd.core.model import RouterId
from swanherd.dataplane import namespace
ids = [RouterId(i) for i in sys.argv[1:]]
assert not namespace.wait_for_removals(ids, 0.0)
print("watching", flush=True)
sys.stdin.readline()
print(len(namespace.wait_for_removals(ids, 5.0)))
"""


def test_more_namespaces_than_files_that_a_service_gets_by_itself():
    """systemd's soft limit is 1,024 of half a million; here it is as tight for fewer."""
    ids = [make.make_id(f"many {number}") for number in range(60)]
    names = [namespace.name_of(RouterId(i)) for i in ids]
    batch = ["ip", "-batch", "-"]
    made = "".join(f"netns add {name}\n" for name in names)
    subprocess.run(batch, input=made, text=True, check=True)
    try:
        with subprocess.Popen(
            ["prlimit", "--nofile=64:4096", sys.executable, "-W", "ignore", "-c", MANY, *ids],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as watcher:
            assert watcher.stdout.readline() == "watching\n"
            subprocess.run(["ip", "netns", "delete", names[-1]], check=True)
            assert watcher.communicate("\n", timeout=20)[0] == "1\n"
    finally:
        gone = "".join(f"netns delete {name}\n" for name in names)
        subprocess.run([*batch, "-force"], input=gone, text=True, check=False)
