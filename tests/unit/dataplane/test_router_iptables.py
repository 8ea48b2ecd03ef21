"""The guard of a router's own namespace as chains of iptables: what is written, and read back."""

from __future__ import annotations

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.model import ScopeMark, TrafficSelector
from swanherd.core.network import GuardPair, RouterGuard, Way
from swanherd.dataplane import router_iptables as iptables
from tests.unit.dataplane.test_iptables import networks, pairs, selectors

ADDRESSES = frozenset(map(ipaddress.ip_address, ("203.0.113.2", "2001:db8::2")))
BUILT_IN = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "POSTROUTING"),
}
NEUTRONS = "neutron-l3-agent-PREROUTING"


def table_text(name: str, rules: tuple[str, ...] = ()) -> str:
    chains = [f":{chain} ACCEPT [0:0]" for chain in BUILT_IN[name]]
    jumped = {rule.split()[-1] for rule in rules if "-j neutron-" in rule}
    return "\n".join([f"*{name}", *chains, *(f":{c} - [0:0]" for c in jumped), *rules, "COMMIT\n"])


NOTHING = {v: "".join(map(table_text, BUILT_IN)) for v in (4, 6)}

marks = st.dictionaries(
    st.one_of(networks(4), networks(6)), st.integers(1, 0xFFFF), max_size=3
).map(lambda chosen: frozenset(ScopeMark(n, m << 16) for n, m in chosen.items()))


def detoured(guard: RouterGuard) -> RouterGuard:
    """A detour has neither sizes nor marks nor a gateway of its own."""
    untold = frozenset(GuardPair(pair.selector, 0) for pair in guard.pairs)
    return RouterGuard(Way.DETOUR, "", frozenset(), untold, guard.exempt)


tunnels = st.builds(
    RouterGuard,
    way=st.sampled_from((Way.TUNNEL, Way.XFRM)),
    public=st.just("qg-12345678-90"),
    addresses=st.sampled_from((ADDRESSES, frozenset())),
    pairs=pairs,
    exempt=st.frozensets(selectors, max_size=3),
    marks=marks,
    silent=st.booleans(),
)
guards = tunnels | tunnels.map(detoured)


def saved(now: iptables.Listing, changes: iptables.Listing) -> dict[int, str]:
    """Return what iptables-save prints after iptables-restore --noflush did the changes."""
    return {v: _apply(now[v], changes.get(v, "")) for v in now}


def _apply(now: str, changes: str) -> str:
    tables = {name: _chains(body) for name, body in _bodies(now)}
    for name, body in _bodies(changes):
        for line in body.splitlines():
            _do(tables.setdefault(name, {}), line)
    return "".join(
        "\n".join(
            [
                f"*{name}",
                *(f":{c} {'ACCEPT' if c.isupper() else '-'} [0:0]" for c in chains),
                *(f"-A {c} {rule}" for c, rules in chains.items() for rule in rules),
                "COMMIT\n",
            ]
        )
        for name, chains in tables.items()
    )


def _bodies(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^\*(\S+)\n(.*?)^COMMIT$", text, re.MULTILINE | re.DOTALL)


def _chains(body: str) -> dict[str, list[str]]:
    chains: dict[str, list[str]] = {}
    for line in body.splitlines():
        _do(chains, line)
    return chains


def _do(chains: dict[str, list[str]], line: str) -> None:
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
            assert not [r for rules in chains.values() for r in rules if r.endswith(f" {chain}")]
        case _:
            chains[verb.removeprefix(":")] = []


def written(guard: RouterGuard, now: iptables.Listing) -> dict[int, str]:
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
def test_removal_leaves_what_was_there(guard):
    """Nothing of ours stays, and the rules of others are as they were."""
    now = written(guard, NOTHING)
    assert iptables.is_there(now)
    after = saved(now, iptables.removal(now))
    assert after == NOTHING
    assert not iptables.is_there(after)


@given(guards.filter(lambda guard: guard.pairs), st.data())
def test_a_rule_that_is_gone_is_seen(guard, data):
    """Without any one of our rules, or with another one, the guard isn't known."""
    now = written(guard, NOTHING)
    version = data.draw(st.sampled_from(iptables.FAMILIES))
    lines = now[version].splitlines()
    ours = [n for n, line in enumerate(lines) if line.startswith("-A ")]
    gone = data.draw(st.sampled_from(ours))
    fewer = "\n".join([*(line for n, line in enumerate(lines) if n != gone), ""])
    assert iptables.read({**now, version: fewer}).guard is None
    if lines[gone].startswith("-A swanherd-"):
        more = "\n".join([*lines[:gone], lines[gone] + " -j ACCEPT", *lines[gone:], ""])
        assert iptables.read({**now, version: more}).guard is None


GUARD = RouterGuard(
    Way.XFRM,
    "qg-1",
    ADDRESSES,
    frozenset(
        {
            GuardPair(
                TrafficSelector(
                    ipaddress.ip_network("10.1.0.0/24"), ipaddress.ip_network("10.2.0.0/24")
                ),
                1300,
            )
        }
    ),
)


@pytest.mark.parametrize(
    ("table", "chain", "rule", "known"),
    [
        ("mangle", "FORWARD", "-j neutron-l3-agent-FORWARD", True),
        ("mangle", "FORWARD", "-s 192.0.2.1/32 -j ACCEPT", False),
        ("raw", "PREROUTING", "-j neutron-l3-agent-PREROUTING", True),
        ("raw", "PREROUTING", "-j ACCEPT", False),
        ("mangle", "PREROUTING", "-j neutron-l3-agent-PREROUTING", True),
    ],
)
def test_only_neutrons_jumps_may_come_before_ours(table, chain, rule, known):
    """Its rewrites put them there; anything else before ours is seen, and healed."""
    now = written(GUARD, NOTHING)
    line = f"-A {chain} "
    head, text = now[4].split(f"*{table}\n")
    pushed = {**now, 4: f"{head}*{table}\n" + text.replace(line, f"{line}{rule}\n{line}", 1)}
    assert (iptables.read(pushed).guard == GUARD) is known
    assert iptables.read(written(GUARD, pushed)).guard == GUARD


def test_scope_marks_come_behind_neutrons():
    """Its chain marks by the device that a packet came from; ours is the last word."""
    mine = f"-A PREROUTING -j {NEUTRONS}"
    there = table_text("raw") + table_text("mangle", (mine,)) + table_text("nat")
    now = written(GUARD, {4: there, 6: NOTHING[6]})
    jumps = [line for line in now[4].splitlines() if line.startswith("-A PREROUTING -j")]
    assert jumps == [
        "-A PREROUTING -j swanherd-untracked-in",
        mine,
        "-A PREROUTING -j swanherd-scope",
    ]
    swapped = now[4].replace(f"{jumps[1]}\n{jumps[2]}", f"{jumps[2]}\n{jumps[1]}")
    assert iptables.read({**now, 4: swapped}).guard is None
    assert iptables.read(written(GUARD, {**now, 4: swapped})).guard == GUARD


def test_nothing_there_is_no_guard():
    """Neither empty tables nor none are a guard, and there is nothing to remove."""
    for now in (NOTHING, {4: "", 6: ""}):
        assert iptables.read(now).guard is None
        assert not iptables.removal(now)
