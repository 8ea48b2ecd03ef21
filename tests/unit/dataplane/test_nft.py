"""The guard's commands, and what is read back; no kernel is asked."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re

from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.model import TrafficSelector
from swanherd.core.network import Guard, GuardPair
from swanherd.dataplane import nft


def networks(version: int) -> st.SearchStrategy:
    """Networks of few bits, so that many overlap."""
    size = {4: 32, 6: 128}[version]

    def network(bits: tuple[int, int]):
        start, length = bits
        address = (start << (size - 4)) & (-1 << (size - length)) & ((1 << size) - 1)
        kind = {4: ipaddress.IPv4Network, 6: ipaddress.IPv6Network}[version]
        return kind((address, length))

    return st.tuples(st.integers(0, 15), st.integers(0, 4)).map(network)


selectors = st.one_of(
    *(st.builds(TrafficSelector, networks(version), networks(version)) for version in (4, 6))
)
pairs = st.frozensets(st.builds(GuardPair, selectors, st.sampled_from([1200, 1300])), max_size=12)
guards = st.builds(
    Guard,
    st.just("tr0"),
    st.just("ex0"),
    st.sampled_from([None, "ipsec0"]),
    pairs,
    silent=st.booleans(),
)


def overlap(a: TrafficSelector, b: TrafficSelector) -> bool:
    return (
        a.local.version == b.local.version
        and a.local.overlaps(b.local)
        and a.remote.overlaps(b.remote)
    )


@given(pairs)
def test_every_pair_is_in_one_layer_and_none_overlaps_there(found):
    """A map has no two entries that a packet could match; together they have every pair."""
    layers = nft.layers_of(found)
    listed = [GuardPair(s, mss) for layer in layers.values() for s, mss in layer.items()]
    assert sorted(found, key=repr) == sorted(listed, key=repr)
    for layer in layers.values():
        members = list(layer)
        assert not [
            (a, b) for i, a in enumerate(members) for b in members[i + 1 :] if overlap(a, b)
        ]


@given(pairs)
def test_the_first_layer_that_matches_has_the_smallest_mss(found):
    """Of two pairs that overlap the one with the smaller mss is looked up first."""
    order = {
        GuardPair(s, mss): position
        for position, layer in enumerate(nft.layers_of(found).values())
        for s, mss in layer.items()
    }
    for a in found:
        for b in found:
            if a.mss < b.mss and overlap(a.selector, b.selector):
                assert order[a] < order[b]


@given(guards)
def test_commands_do_not_depend_on_order(guard):
    """Equal guards yield equal commands, however their pairs came about."""
    again = dataclasses.replace(guard, pairs=frozenset(sorted(guard.pairs, key=repr)))
    assert nft.replacement(guard) == nft.replacement(again)


def listed(guard: Guard) -> list[dict]:
    """Return how libnftables lists the guard's maps, and a rule."""
    items: list[dict] = [
        {"metainfo": {"version": "1"}},
        {"table": {"name": "swanherd", "handle": 1}},
    ]
    for name, layer in nft.layers_of(guard.pairs).items():
        elements = [
            [
                {"concat": [_listed(s.local), _listed(s.remote)]},
                {"goto": {"target": f"mss{mss}"}},
            ]
            for s, mss in layer.items()
        ]
        items.append({"map": {"name": name, "handle": 7, "elem": elements}})
    items.append({"rule": {"chain": "forward", "handle": 9, "expr": ["something"]}})
    return items


def _listed(network):
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}


def marked(guard: Guard, items: list[dict]) -> list[dict]:
    digest = nft.read(json.dumps({"nftables": items})).digest
    (comment,) = re.findall(r'comment "(.*)"', nft.mark(guard, digest))
    return [*items, {"rule": {"chain": "written", "handle": 12, "comment": comment}}]


def read(items: list[dict]) -> Guard | None:
    return nft.read(json.dumps({"nftables": items})).guard


@given(guards, st.randoms(use_true_random=False))
def test_what_was_written_is_read_back(guard, random):
    """A marked table is read as its guard, whatever its handles and the order of its elements."""
    items = marked(guard, listed(guard))
    for item in items:
        for body in item.values():
            if "handle" in body:
                body["handle"] += 100
            if "elem" in body:
                random.shuffle(body["elem"])
    assert guard == read(items)


@given(guards)
def test_anything_else_is_not_ours(guard):
    """A table that isn't marked, is marked twice, or has a rule more or less, has no guard."""
    items = listed(guard)
    whole = marked(guard, items)
    assert read(items) is None
    assert read([*whole, whole[-1]]) is None
    assert read([*whole, {"rule": {"chain": "forward", "expr": ["accept"]}}]) is None
    assert read([item for item in whole if item.get("rule", {}).get("chain") != "forward"]) is None
    assert nft.read("").guard is None


@given(guards)
def test_a_foreign_element_is_no_crash(guard):
    """What somebody put into a map of ours, whatever it is, only means that it isn't ours."""
    foreign = {"map": {"name": "pairs4_9", "elem": [["10.0.0.1", {"accept": None}], "x"]}}
    items = [*listed(guard), foreign]
    assert read(marked(guard, items)) is None


@given(guards, guards)
def test_a_change_touches_only_what_differs(old, new):
    """No element that both have in the same map is deleted or added."""
    commands = nft.change(old, new).splitlines()
    before, after = nft.layers_of(old.pairs), nft.layers_of(new.pairs)
    touched = {
        (line.split()[4], element)
        for line in commands
        if " element " in line
        for element in re.findall(r"(\S+ \. \S+ : goto \S+?)(?:,| })", line)
    }
    for name in before.keys() & after.keys():
        for selector, mss in before[name].items():
            if after[name].get(selector) == mss:
                assert (
                    name,
                    f"{selector.local} . {selector.remote} : goto mss{mss}",
                ) not in touched


@given(guards)
def test_the_mark_fits(guard):
    """The comment isn't longer than nft takes (NFTNL_UDATA_COMMENT_MAXLEN)."""
    (comment,) = re.findall(r'comment "(.*)"', nft.mark(guard, nft.read("").digest or "0" * 32))
    assert len(comment) < 128


def test_closed_accepts_nothing_but_loopback():
    """The guard of a new namespace has policies that drop, and no rule but lo's."""
    assert nft.CLOSED.count("policy drop") == 3
    rules = [line for line in nft.CLOSED.splitlines() if line.startswith("add rule")]
    assert all('"lo" accept' in rule for rule in rules)
