"""The guard as an nft table of our own: what is written, and what is read back. Pure.

The table is `inet swanherd`. A packet of a pair finds by one lookup in a map (local network .
remote network) its chain `mss<n>`, which clamps a SYN's segment size (RFC 9293 §3.7.1) and lets it
pass; nothing else is forwarded. Pairs that overlap can't be in one map, so there are layers: of
two that overlap the one with the smaller mss is in the earlier layer.

The chain `written` has no hook. Its one rule's comment tells the guard's devices and a digest of
how the kernel listed the table right after it was written: by it the table is known again, also
by an agent that has restarted, and whatever others changed is seen.
"""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from swanherd.core.model import IPNetwork, TrafficSelector
from swanherd.core.network import Guard, GuardPair

TABLE = "inet swanherd"

_MARK = "written"

_BASE_CHAINS = {
    name: f"type filter hook {name} priority filter; policy drop;"
    for name in ("forward", "input", "output")
}

_LO_IN, _LO_OUT = 'iifname "lo" accept', 'oifname "lo" accept'

# nft(8), "ICMP TYPE TYPE" and "ICMPV6 TYPE TYPE"
_ECHO = "echo-request, echo-reply"
_ERRORS_4 = "destination-unreachable, time-exceeded, parameter-problem"
_ERRORS_6 = f"{_ERRORS_4}, packet-too-big"
_NEIGHBOURS = "nd-neighbor-solicit, nd-neighbor-advert"
# Switches that snoop drop solicitations to groups that nobody reported (RFC 4541 §3).
_REPORTS = "mld-listener-report, mld-listener-done, mld2-listener-report"

CLOSED = "\n".join(
    [
        f"add table {TABLE}",
        *(f"add chain {TABLE} {name} {{ {spec} }}" for name, spec in _BASE_CHAINS.items()),
        f"add rule {TABLE} input {_LO_IN}",
        f"add rule {TABLE} output {_LO_OUT}",
    ]
)
"""The commands of a guard that lets nothing pass."""

Layers = dict[str, dict[TrafficSelector, int]]


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What our table is. `guard` is None if it isn't what we wrote; `digest` is of the listing."""

    guard: Guard | None
    digest: str


def replacement(guard: Guard) -> str:
    """Return the commands that replace whatever the table is, in one transaction."""
    layers = layers_of(guard.pairs)
    return "\n".join(
        [
            f"add table {TABLE}",
            f"delete table {TABLE}",
            f"add table {TABLE}",
            *_new_maps(layers),
            *_chains(guard),
            *_rules(guard, layers),
            *_elements("add", layers, {}),
        ]
    )


def change(old: Guard, new: Guard) -> str:
    """Return the commands from a table that is intact to another guard's, in one transaction.

    What stays isn't touched, so no packet of a pair that stays is lost, as it would be in the
    moment before the kernel commits a new map (nft_set_pipapo.c).
    """
    before, after = layers_of(old.pairs), layers_of(new.pairs)
    gone = sorted({p.mss for p in old.pairs} - {p.mss for p in new.pairs})
    return "\n".join(
        [
            *_new_maps({name: pairs for name, pairs in after.items() if name not in before}),
            *_chains(new),
            *(f"flush chain {TABLE} {n}" for n in (*_BASE_CHAINS, _MARK, *_mss_chains(new))),
            *_elements("delete", before, after),
            *_rules(new, after),
            *_elements("add", after, before),
            *(f"flush chain {TABLE} mss{mss}" for mss in gone),
            *(f"delete map {TABLE} {name}" for name in sorted(before.keys() - after.keys())),
            *(f"delete chain {TABLE} mss{mss}" for mss in gone),
        ]
    )


def mark(guard: Guard, digest: str) -> str:
    """Return the command that makes the table known as this guard's."""
    return f'add rule {TABLE} {_MARK} return comment "{_comment(guard, digest)}"'


def read(listing: str) -> Reading:
    """Parse the table's JSON listing (libnftables-json(5)); an empty string means no table."""
    if not listing:
        return Reading(None, "")
    items = [without_handle(item) for item in json.loads(listing)["nftables"]]
    rest = [item for item in items if not _is_mark(item) and "metainfo" not in item]
    digest = hashlib.sha256("\n".join(canonical(rest)).encode()).hexdigest()[:32]
    comments = [item["rule"].get("comment", "") for item in items if _is_mark(item)]
    guard = _guard(comments[0].split(), rest) if len(comments) == 1 else None
    if guard is None or comments != [_comment(guard, digest)]:
        return Reading(None, digest)
    return Reading(guard, digest)


def layers_of(pairs: Iterable[GuardPair]) -> Layers:
    """Return the maps by name, in the order of their look-up: no two pairs in one overlap."""
    ordered = sorted(pairs, key=lambda pair: (pair.mss, pair.selector.sort_key))
    near = {
        version: _Nearness([p.selector for p in ordered if p.selector.local.version == version])
        for version in (4, 6)
    }
    depth: dict[TrafficSelector, int] = {}
    layers: dict[tuple[int, int], dict[TrafficSelector, int]] = defaultdict(dict)
    for pair in ordered:
        selector = pair.selector
        overlapping = near[selector.local.version].of(selector)
        level = 1 + max((depth[o] for o in overlapping if o in depth), default=-1)
        depth[selector] = level
        layers[selector.local.version, level][selector] = pair.mss
    return {f"pairs{v}_{level}": layers[v, level] for v, level in sorted(layers)}


class _Nearness:
    """Finds the selectors of one family that overlap one of them, without comparing all."""

    def __init__(self, selectors: Collection[TrafficSelector]) -> None:
        self._locals = _related({s.local for s in selectors})
        self._remotes = _related({s.remote for s in selectors})
        self._by_local: dict[IPNetwork, set[IPNetwork]] = defaultdict(set)
        for selector in selectors:
            self._by_local[selector.local].add(selector.remote)

    def of(self, selector: TrafficSelector) -> Iterator[TrafficSelector]:
        remotes = self._remotes[selector.remote]
        for local in self._locals[selector.local]:
            for remote in remotes & self._by_local[local]:
                yield TrafficSelector(local, remote)


def _related(networks: Collection[IPNetwork]) -> Mapping[IPNetwork, set[IPNetwork]]:
    """Return for each network those that contain it or that it contains, and itself."""
    related: dict[IPNetwork, set[IPNetwork]] = {network: {network} for network in networks}
    by_start = {(n.prefixlen, int(n.network_address)): n for n in networks}
    lengths = {n.prefixlen for n in networks}
    for network in networks:
        start = int(network.network_address)
        for length in lengths:
            mask = -1 << (network.max_prefixlen - length)
            above = by_start.get((length, start & mask))
            if above is not None and length < network.prefixlen:
                related[network].add(above)
                related[above].add(network)
    return related


def _comment(guard: Guard, digest: str) -> str:
    silent = " silent" if guard.silent else ""
    return f"{guard.transit} {guard.public} {guard.tunnel or '-'}{silent} {digest}"


def _new_maps(layers: Layers) -> list[str]:
    return [
        f"add map {TABLE} {name} {{ type {kind} . {kind} : verdict; flags interval; }}"
        for name in layers
        for kind in [f"ipv{_version(name)}_addr"]
    ]


def _version(layer: str) -> int:
    return int(layer.removeprefix("pairs").partition("_")[0])


def _mss_chains(guard: Guard) -> list[str]:
    return [f"mss{mss}" for mss in sorted({pair.mss for pair in guard.pairs})]


def _chains(guard: Guard) -> list[str]:
    return [
        *(f"add chain {TABLE} {name} {{ {spec} }}" for name, spec in _BASE_CHAINS.items()),
        *(f"add chain {TABLE} {name}" for name in (_MARK, *_mss_chains(guard))),
    ]


def _elements(verb: str, layers: Layers, without: Layers) -> list[str]:
    lines = []
    for name, pairs in layers.items():
        others = without.get(name, {})
        elements = ", ".join(
            f"{selector.local} . {selector.remote} : goto mss{mss}"
            for selector, mss in pairs.items()
            if others.get(selector) != mss
        )
        if elements:
            lines.append(f"{verb} element {TABLE} {name} {{ {elements} }}")
    return lines


def _rules(guard: Guard, layers: Layers) -> list[str]:
    chains: dict[str, list[str]] = {
        f"mss{mss}": [
            f"tcp flags syn / syn,rst tcp option maxseg size set {mss}",
            "accept",
        ]
        for mss in sorted({pair.mss for pair in guard.pairs})
    }
    if guard.silent:
        chains |= {"input": [_LO_IN], "output": [_LO_OUT]}
    else:
        chains["forward"] = _forward(guard, layers)
        chains["input"] = [_LO_IN, *_input(guard, layers)]
        chains["output"] = [_LO_OUT, *_output(guard, layers)]
    return [f"add rule {TABLE} {name} {rule}" for name, rules in chains.items() for rule in rules]


def _forward(guard: Guard, layers: Layers) -> list[str]:
    return [
        *(f'iifname "{guard.transit}" {_leaves(guard)} {_outward(name)}' for name in layers),
        *(f'oifname "{guard.transit}" {_arrived(guard)} {_inward(name)}' for name in layers),
    ]


def _input(guard: Guard, layers: Layers) -> list[str]:
    """Let in what is decrypted, IKE and its like; neighbours need no address of the device."""
    public = f'iifname "{guard.public}"'
    links = f'iifname {{ "{guard.public}", "{guard.transit}" }}'
    # The router's own addresses on lo aren't for anyone who comes in clear.
    mine = "fib daddr . iif type local"
    return [
        *(f"{_arrived(guard)} {_inward(name)}" for name in layers),
        f"{links} icmpv6 type {{ {_NEIGHBOURS}, mld-listener-query }} accept",
        f"{public} {mine} udp dport {{ 500, 4500 }} accept",
        f"{public} {mine} meta l4proto {{ esp, ah }} accept",
        f"{links} {mine} icmp type {{ {_ECHO}, {_ERRORS_4} }} accept",
        f"{links} {mine} icmpv6 type {{ {_ECHO}, {_ERRORS_6} }} accept",
    ]


def _output(guard: Guard, layers: Layers) -> list[str]:
    """Let out IKE and its like from the public address only.

    No ICMP error leaves by the public device: it would carry the head of an inner packet.
    """
    public, transit = f'oifname "{guard.public}"', f'oifname "{guard.transit}"'
    mine = "fib saddr . oif type local"
    return [
        *(f"{_leaves(guard)} {_outward(name)}" for name in layers),
        f"{public} {mine} udp sport {{ 500, 4500 }} accept",
        f"{public} {mine} meta l4proto {{ esp, ah }} accept",
        f"{public} {mine} icmp type {{ {_ECHO} }} accept",
        f"{public} {mine} icmpv6 type {{ {_ECHO}, {_NEIGHBOURS} }} accept",
        f"{public} icmpv6 type {{ {_REPORTS} }} accept",
        f"{transit} icmp type {{ {_ECHO}, {_ERRORS_4} }} accept",
        f"{transit} icmpv6 type {{ {_ECHO}, {_ERRORS_6}, {_NEIGHBOURS}, {_REPORTS} }} accept",
    ]


def _leaves(guard: Guard) -> str:
    """Match what will be encrypted."""
    return f'oifname "{guard.tunnel}"' if guard.tunnel else "rt ipsec exists"


def _arrived(guard: Guard) -> str:
    """Match what was decrypted."""
    return f'iifname "{guard.tunnel}"' if guard.tunnel else "meta ipsec exists"


def _outward(layer: str) -> str:
    ip = "ip" if _version(layer) == 4 else "ip6"
    return f"{ip} saddr . {ip} daddr vmap @{layer}"


def _inward(layer: str) -> str:
    ip = "ip" if _version(layer) == 4 else "ip6"
    return f"{ip} daddr . {ip} saddr vmap @{layer}"


# Reading back


def _is_mark(item: Mapping[str, Any]) -> bool:
    return "rule" in item and item["rule"].get("chain") == _MARK


def without_handle(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item of a listing without the number that the kernel gave it."""
    return {
        kind: {key: value for key, value in body.items() if key != "handle"}
        for kind, body in item.items()
    }


def canonical(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the listing, rules in their order, the rest sorted: its order means nothing."""
    rules = [json.dumps(item, sort_keys=True) for item in items if "rule" in item]
    others = []
    for item in items:
        if "rule" not in item:
            body = {
                kind: value | {"elem": sorted(map(repr, value.get("elem", ())))}
                for kind, value in item.items()
            }
            others.append(json.dumps(body, sort_keys=True))
    return rules + sorted(others)


def _guard(words: Sequence[str], items: Iterable[Mapping[str, Any]]) -> Guard | None:
    """Return the guard whose devices the comment tells and whose pairs the maps have."""
    if len(words) < 4 or words[3:-1] not in ([], ["silent"]):
        return None
    transit, public, tunnel = words[:3]
    elements = [e for item in items if "map" in item for e in item["map"].get("elem", ())]
    try:
        pairs = frozenset(map(_pair, elements))
    except (KeyError, TypeError, ValueError):
        # Not of our making.
        return None
    silent = len(words) > 4
    return Guard(transit, public, None if tunnel == "-" else tunnel, pairs, silent=silent)


def _pair(element: Any) -> GuardPair:
    key, verdict = element
    local, remote = map(_network, key["concat"])
    mss = int(verdict["goto"]["target"].removeprefix("mss"))
    return GuardPair(TrafficSelector(local, remote), mss)


def _network(value: Any) -> IPNetwork:
    if isinstance(value, str):
        return ipaddress.ip_network(value)
    return ipaddress.ip_network(f"{value['prefix']['addr']}/{value['prefix']['len']}")
