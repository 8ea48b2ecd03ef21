"""The guard in a router's own namespace as an nft table: what is written and read back. Pure.

The table is `inet swanherd` here too, but every chain's policy is accept: what is no pair's goes
its way. A pair's packets aren't tracked, so no NAT of Neutron's meets them, not even that of a
connection which is older than the VPN; they are looked at before the router's own filter
(priority 0), and the decrypted ones get their scope's mark right after the router's mangle
(-150).

The kernel commits the content of a set of pairs a moment after the rules that ask it
(nft_set_pipapo.c), and here "not found" means "let it pass". So a guard is written in two
transactions: first the sets of a new generation, which nothing asks; then the rules, and the old
generation goes.

The chain `written` has no hook: the comments of its rules tell the guard, but for its pairs, and
the last one a digest of how the kernel listed the table right after it was written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from swanherd.core.model import IPNetwork, TrafficSelector
from swanherd.core.network import GuardPair, RouterGuard, Way
from swanherd.dataplane.nft import TABLE, Layers, canonical, layers_of, without_handle
from swanherd.dataplane.router_text import guard_of, parts

_MARK = "written"

# nft's comments have at most 128 bytes (NFTNL_UDATA_COMMENT_MAXLEN).
_COMMENT = 120

_CHAINS = {
    "untracked_in": "type filter hook prerouting priority raw; policy accept;",
    "untracked_out": "type filter hook output priority raw; policy accept;",
    "scope": "type filter hook prerouting priority mangle + 1; policy accept;",
    "forward": "type filter hook forward priority filter - 10; policy accept;",
    "input": "type filter hook input priority filter - 10; policy accept;",
    "output": "type filter hook output priority filter - 10; policy accept;",
}

# Never forwarded, and without them nobody finds a neighbour (RFC 4861).
_ON_LINK = (
    "ip6 saddr fe80::/10 accept",
    "ip6 daddr { fe80::/10, ff00::/8 } accept",
    "ip daddr { 224.0.0.0/4, 255.255.255.255 } accept",
)

_GENERATION = re.compile(r"g(\d+)_")
_GENERATIONS = 1000

_SCOPE_MASK = "0x0000ffff"  # what of a mark isn't the scope's


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What our table is. `guard` is None if it isn't what we wrote; `digest` is of the listing.

    `sets`, `maps` and `chains` are the names of what is in it.
    """

    guard: RouterGuard | None
    digest: str
    sets: tuple[str, ...] = ()
    maps: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()

    @property
    def generations(self) -> frozenset[int]:
        """The numbers that sets here have."""
        found = map(_GENERATION.match, self.sets + self.maps + self.chains)
        return frozenset(int(match[1]) for match in found if match)

    @property
    def generation(self) -> int:
        """A number that no set here has."""
        return next(n for n in range(_GENERATIONS) if n not in self.generations)


@dataclasses.dataclass(frozen=True, slots=True)
class _Names:
    """The sets of one generation, in the order in which they are asked."""

    pairs: Layers
    exempt: Layers
    generation: int

    def verdicts(self, layer: str) -> str:
        return f"g{self.generation}_{layer}"

    def members(self, layer: str) -> str:
        return f"g{self.generation}_only_{layer}"

    def exempted(self, layer: str) -> str:
        return f"g{self.generation}_exempt_{layer}"

    def clamp(self, mss: int) -> str:
        return f"g{self.generation}_mss{mss}"


def _names(guard: RouterGuard, generation: int) -> _Names:
    exempt = (GuardPair(selector, 0) for selector in guard.exempt)
    return _Names(layers_of(guard.pairs), layers_of(exempt), generation)


def stage(guard: RouterGuard, generation: int) -> str:
    """Return the commands that make the sets of a new generation, which nothing asks yet."""
    names = _names(guard, generation)
    lines = [f"add table {TABLE}"]
    lines += [f"add chain {TABLE} {names.clamp(mss)}" for mss in _sizes(guard)]
    for layer, pairs in names.pairs.items():
        kind, elements = _kind(layer), ", ".join(_pair_text(s) for s in pairs)
        lines.append(_new("set", names.members(layer), kind))
        lines.append(f"add element {TABLE} {names.members(layer)} {{ {elements} }}")
        if guard.way is not Way.DETOUR:
            verdicts = ", ".join(
                f"{_pair_text(s)} : goto {names.clamp(mss)}" for s, mss in pairs.items()
            )
            lines.append(_new("map", names.verdicts(layer), f"{kind} : verdict"))
            lines.append(f"add element {TABLE} {names.verdicts(layer)} {{ {verdicts} }}")
    for layer, selectors in names.exempt.items():
        elements = ", ".join(map(_pair_text, selectors))
        lines.append(_new("set", names.exempted(layer), _kind(layer)))
        lines.append(f"add element {TABLE} {names.exempted(layer)} {{ {elements} }}")
    return "\n".join(lines)


def switch(guard: RouterGuard, generation: int, now: Reading) -> str:
    """Return the commands that let the rules ask the new generation; what else is there goes."""
    names = _names(guard, generation)
    rules = _rules(guard, names)
    kept = {*_CHAINS, _MARK, *map(names.clamp, _sizes(guard))}
    return "\n".join(
        [
            f"flush table {TABLE}",
            *(f"add chain {TABLE} {name} {{ {spec} }}" for name, spec in _CHAINS.items()),
            f"add chain {TABLE} {_MARK}",
            *(
                f"add rule {TABLE} {name} {rule}"
                for name, lines in rules.items()
                for rule in lines
            ),
            *(
                f'add rule {TABLE} {_MARK} return comment "{part}"'
                for part in parts(guard, _COMMENT)
            ),
            *(f"delete set {TABLE} {name}" for name in now.sets),
            *(f"delete map {TABLE} {name}" for name in now.maps),
            *(f"delete chain {TABLE} {name}" for name in now.chains if name not in kept),
        ]
    )


def rules_anew(guard: RouterGuard, now: Reading) -> str:
    """Return the commands that write the rules again for the sets that are there.

    What was read is a guard of ours with the same pairs and exemptions, so it has one generation.
    """
    generation = max(now.generations, default=0)
    return switch(guard, generation, dataclasses.replace(now, sets=(), maps=(), chains=()))


def mark(reading: Reading) -> str:
    """Return the command that makes the table known as what it was when it was read."""
    return f'add rule {TABLE} {_MARK} return comment "={reading.digest}"'


REMOVAL = f"add table {TABLE}\ndelete table {TABLE}"
"""The commands after which there is no table."""


def read(listing: str) -> Reading:
    """Parse the table's JSON listing (libnftables-json(5)); an empty string means no table."""
    if not listing:
        return Reading(None, "")
    items = [without_handle(item) for item in json.loads(listing)["nftables"]]
    comments = [item["rule"].get("comment", "") for item in items if _is_in_mark(item)]
    rest = [item for item in items if not _is_digest(item) and "metainfo" not in item]
    digest = hashlib.sha256("\n".join(canonical(rest)).encode()).hexdigest()[:32]
    guard = None
    if comments and comments[-1] == f"={digest}":
        guard = guard_of("".join(comments[:-1]), _verdicts(rest))
    named = {
        kind: tuple(item[kind]["name"] for item in items if kind in item)
        for kind in ("set", "map", "chain")
    }
    return Reading(guard, digest, named["set"], named["map"], named["chain"])


# Writing


def _sizes(guard: RouterGuard) -> list[int]:
    return [] if guard.way is Way.DETOUR else sorted({pair.mss for pair in guard.pairs})


def _new(what: str, name: str, kind: str) -> str:
    return f"add {what} {TABLE} {name} {{ type {kind}; flags interval; }}"


def _version(layer: str) -> int:
    return int(layer.removeprefix("pairs").partition("_")[0])


def _kind(layer: str) -> str:
    return " . ".join([f"ipv{_version(layer)}_addr"] * 2)


def _pair_text(selector: TrafficSelector) -> str:
    return f"{selector.local} . {selector.remote}"


def _outward(layer: str) -> str:
    ip = "ip" if _version(layer) == 4 else "ip6"
    return f"{ip} saddr . {ip} daddr"


def _inward(layer: str) -> str:
    ip = "ip" if _version(layer) == 4 else "ip6"
    return f"{ip} daddr . {ip} saddr"


def _both(layers: Iterable[tuple[str, str]], verdict: str) -> list[str]:
    """Return rules for the packets of these sets, either way."""
    found = list(layers)
    return [
        *(f"{_outward(layer)} @{name} {verdict}" for layer, name in found),
        *(f"{_inward(layer)} @{name} {verdict}" for layer, name in found),
    ]


def _rules(guard: RouterGuard, names: _Names) -> Mapping[str, list[str]]:
    exempt = _both(((layer, names.exempted(layer)) for layer in names.exempt), "accept")
    closed = _both(((layer, names.members(layer)) for layer in names.pairs), "drop")
    untracked = _both(((layer, names.members(layer)) for layer in names.pairs), "notrack")
    ours_in, ours_out = _charons(guard)
    silent = guard.silent
    clamps = {
        names.clamp(mss): [f"tcp flags syn / syn,rst tcp option maxseg size set {mss}", "accept"]
        for mss in _sizes(guard)
    }
    return {
        **clamps,
        "untracked_in": [*exempt, *untracked, *(f"{match} notrack" for match in ours_in)],
        "untracked_out": [*exempt, *untracked, *(f"{match} notrack" for match in ours_out)],
        "scope": _scope(guard),
        "forward": [*_forward(guard, names), *exempt, *closed],
        "input": [
            *(f"{match} drop" for match in ours_in if silent),
            *_ON_LINK,
            *_arrived_here(guard, names),
            *exempt,
            *closed,
        ],
        "output": [
            *(f"{match} drop" for match in ours_out if silent),
            *_ON_LINK,
            *_leaves_here(guard, names),
            *exempt,
            *closed,
        ],
    }


def _charons(guard: RouterGuard) -> tuple[list[str], list[str]]:
    """Return what matches IKE and its like, coming in and going out."""
    incoming, outgoing = [], []
    for version in (4, 6):
        addresses = ", ".join(
            str(a) for a in sorted(guard.addresses, key=str) if a.version == version
        )
        if addresses:
            ip = "ip" if version == 4 else "ip6"
            to, of = f"{ip} daddr {{ {addresses} }}", f"{ip} saddr {{ {addresses} }}"
            device = f'iifname "{guard.public}"'
            incoming += [
                f"{device} {to} udp dport {{ 500, 4500 }}",
                f"{device} {to} meta l4proto {{ esp, ah }}",
            ]
            outgoing += [f"{of} udp sport {{ 500, 4500 }}", f"{of} meta l4proto {{ esp, ah }}"]
    return incoming, outgoing


def _arrived(guard: RouterGuard) -> str | None:
    """Match what was decrypted."""
    return {Way.TUNNEL: f'iifname "{guard.tunnel}"', Way.XFRM: "meta ipsec exists"}.get(guard.way)


def _leaves(guard: RouterGuard) -> str | None:
    """Match what will be encrypted."""
    return {Way.TUNNEL: f'oifname "{guard.tunnel}"', Way.XFRM: "rt ipsec exists"}.get(guard.way)


def _forward(guard: RouterGuard, names: _Names) -> list[str]:
    if guard.way is Way.DETOUR:
        # The central part sends what it decrypts straight to the workload, not through here.
        back = 'iifname "qr-*" oifname "qr-*"'
        return [f"{back} {_outward(n)} @{names.members(n)} accept" for n in names.pairs]
    return [*_arrived_here(guard, names), *_comes_from_outside(guard), *_leaves_here(guard, names)]


def _arrived_here(guard: RouterGuard, names: _Names) -> list[str]:
    """Let what was decrypted in, if it is a pair's; nothing else that was."""
    match = _arrived(guard)
    if match is None:
        return []
    if guard.silent:
        return [f"{match} drop"]
    passed = [f"{match} {_inward(n)} vmap @{names.verdicts(n)}" for n in names.pairs]
    return [*passed, f"{match} drop"]


def _comes_from_outside(guard: RouterGuard) -> list[str]:
    """Keep the external network out of the tunnel: it has none of the local subnets."""
    match = _leaves(guard)
    return [f'iifname "{guard.public}" {match} drop'] if match and guard.public else []


def _leaves_here(guard: RouterGuard, names: _Names) -> list[str]:
    match = _leaves(guard)
    if match is None:
        return []
    if guard.silent:
        return [f"{match} drop"]
    return [f"{match} {_outward(n)} vmap @{names.verdicts(n)}" for n in names.pairs]


def _scope(guard: RouterGuard) -> list[str]:
    match = _arrived(guard)
    if match is None:
        return []
    rules = []
    for each in sorted(guard.marks, key=lambda m: (m.network.version, str(m.network))):
        ip = "ip" if each.network.version == 4 else "ip6"
        value = f"meta mark set meta mark and {_SCOPE_MASK} or {each.mark:#x}"
        rules.append(f"{match} {ip} daddr {each.network} {value}")
    return rules


# Reading


def _is_in_mark(item: Mapping[str, Any]) -> bool:
    return "rule" in item and item["rule"].get("chain") == _MARK


def _is_digest(item: Mapping[str, Any]) -> bool:
    return _is_in_mark(item) and item["rule"].get("comment", "").startswith("=")


def _verdicts(items: Iterable[Mapping[str, Any]]) -> Iterable[GuardPair]:
    for item in items:
        for key, verdict in item.get("map", {}).get("elem", ()):
            local, remote = map(_network, key["concat"])
            mss = int(verdict["goto"]["target"].partition("_mss")[2])
            yield GuardPair(TrafficSelector(local, remote), mss)


def _network(value: Any) -> IPNetwork:
    if isinstance(value, str):
        return ipaddress.ip_network(value)
    return ipaddress.ip_network(f"{value['prefix']['addr']}/{value['prefix']['len']}")
