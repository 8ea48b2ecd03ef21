"""The guard as chains of iptables: what is written, and what is read back."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.model import TrafficSelector
from swanherd.core.network import Guard, GuardPair
from swanherd.dataplane import iptables

EMPTY = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
NOTHING = {4: EMPTY, 6: EMPTY}


def networks(version: int) -> st.SearchStrategy:
    bits = {4: 32, 6: 128}[version]
    kind = {4: ipaddress.IPv4Network, 6: ipaddress.IPv6Network}[version]
    return st.builds(
        lambda length, number: kind((number >> (bits - length) << (bits - length), length)),
        st.integers(0, bits),
        st.integers(0, 2**bits - 1),
    )


selectors = st.one_of(*(st.builds(TrafficSelector, networks(v), networks(v)) for v in (4, 6)))
pairs = st.dictionaries(selectors, st.integers(28, 1460), max_size=5).map(
    lambda chosen: frozenset(GuardPair(s, mss) for s, mss in chosen.items())
)
guards = st.builds(
    Guard, st.just("tr0"), st.just("ex0"), st.sampled_from(("ipsec0", None)), pairs, st.booleans()
)


def saved(now: dict[int, str], changes: iptables.Tables) -> dict[int, str]:
    """Return what iptables-save prints after iptables-restore --noflush did the changes."""
    return {v: _apply(now[v], changes[v]) if v in changes else now[v] for v in now}


def _apply(now: str, change: str) -> str:
    policies = {ln[1:].split()[0]: ln.split()[1] for ln in now.splitlines() if ln[0] == ":"}
    chains: dict[str, list[str]] = {name: [] for name in policies}
    for line in now.splitlines():
        if line.startswith("-A "):
            _, chain, rule = line.split(" ", 2)
            chains[chain].append(rule)
    for line in change.splitlines():
        verb, _, rest = line.partition(" ")
        chain, _, rule = rest.partition(" ")
        match verb:
            case "-A":
                chains[chain].append(rule)
            case "-I":
                chains[chain].insert(0, rule.removeprefix("1 "))
            case "-D":
                chains[chain].remove(rule)
            case "-X":
                assert chains.pop(chain) == []
            case _ if verb.startswith(":"):
                chains[verb[1:]] = []
    lines = [f":{name} {policies.get(name, '-')} [0:0]" for name in chains]
    lines += [f"-A {name} {rule}" for name, rules in chains.items() for rule in rules]
    return "\n".join(["*filter", *lines, "COMMIT"])


def written(guard: Guard, now: dict[int, str]) -> dict[int, str]:
    """Return the tables after the guard was written and marked."""
    now = saved(now, iptables.replacement(guard, now))
    return saved(now, iptables.mark(guard, iptables.read(now).digest))


@given(guards, guards)
def test_what_is_written_is_read(old, new):
    """The last guard is the one that is read, whatever was there before."""
    now = written(old, NOTHING)
    assert old == iptables.read(now).guard
    now = written(new, now)
    assert new == iptables.read(now).guard


@given(guards)
def test_it_depends_on_the_guard_alone(guard):
    """Written anew over itself, nothing changes."""
    now = written(guard, NOTHING)
    assert now == written(guard, now)


@given(guards.filter(lambda guard: guard.pairs), st.data())
def test_a_rule_that_is_gone_is_seen(guard, data):
    """Without any one of our rules, or with another one, the guard isn't known."""
    now = written(guard, NOTHING)
    version = data.draw(st.sampled_from(iptables.FAMILIES))
    lines = now[version].splitlines()
    ours = [n for n, line in enumerate(lines) if line.startswith("-A ")]
    gone = data.draw(st.sampled_from(ours))
    fewer = "\n".join(line for n, line in enumerate(lines) if n != gone)
    assert iptables.read({**now, version: fewer}).guard is None
    more = "\n".join([*lines[:gone], lines[gone] + " -j ACCEPT", *lines[gone:]])
    assert iptables.read({**now, version: more}).guard is None


def test_rules_of_others_stay_behind_ours():
    """What others have in the built-in chains stays; only our jump comes first, and once."""
    other = EMPTY.replace("COMMIT", "-A FORWARD -s 192.0.2.1/32 -j ACCEPT\nCOMMIT")
    guard = Guard("tr0", "ex0", None, frozenset())
    now = written(guard, {4: other, 6: EMPTY})
    forward = [line for line in now[4].splitlines() if line.startswith("-A FORWARD")]
    assert forward == ["-A FORWARD -j swanherd-forward", "-A FORWARD -s 192.0.2.1/32 -j ACCEPT"]
    pushed = now[4].replace(forward[0], "-A FORWARD -j ACCEPT\n" + forward[0] + "\n" + forward[0])
    assert iptables.read({**now, 4: pushed}).guard is None
    healed = written(guard, {**now, 4: pushed})
    assert iptables.read(healed).guard == guard
    assert healed[4].count(forward[0]) == 1


def test_where_pairs_overlap_the_smaller_mss_comes_first():
    """A packet meets the pair with the smaller mss before one that contains it."""
    pairs = {
        GuardPair(
            TrafficSelector(ipaddress.ip_network(local), ipaddress.ip_network("10.9.0.0/24")), mss
        )
        for local, mss in (("10.1.0.0/24", 1300), ("10.0.0.0/8", 1200), ("10.1.0.5/32", 1250))
    }
    text = iptables.replacement(Guard("tr0", "ex0", None, frozenset(pairs)), NOTHING)[4]
    rules = [line for line in text.splitlines() if line.startswith("-A swanherd-outwards")]
    assert [rule.rpartition("-")[2] for rule in rules] == ["mss1200", "mss1250", "mss1300"]


def test_nothing_there_is_no_guard():
    """Neither empty tables nor none are a guard, and the closed one lets nobody be taken for."""
    assert iptables.read(NOTHING).guard is None
    assert iptables.read({4: "", 6: ""}).guard is None
    closed = saved(NOTHING, iptables.closed())
    assert iptables.is_there(closed)
    assert not iptables.is_there({**closed, 6: EMPTY})
    assert iptables.read(closed).guard is None


@pytest.mark.parametrize("tunnel", ["ipsec0", None])
def test_every_chain_ends_closed(tunnel):
    """What no rule lets pass is dropped, in each family and direction."""
    for text in iptables.replacement(Guard("tr0", "ex0", tunnel, frozenset()), NOTHING).values():
        for chain in ("forward", "input", "output"):
            rules = [ln for ln in text.splitlines() if ln.startswith(f"-A swanherd-{chain} ")]
            assert rules[-1] == f"-A swanherd-{chain} -j DROP"
