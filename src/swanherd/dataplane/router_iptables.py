"""The guard in a router's own namespace as chains of iptables, without nf_tables. Pure.

It does what `router_nft` does, where Neutron's chains are none of ours: `raw` keeps a pair's
packets from being tracked, so that no NAT meets them, and `mangle`, which is asked before the
router's own filter, lets a pair's packets pass only their way. What passes returns to the
built-in chain, so that the rules of others are asked as ever.

Neutron's rewrites keep the chains of others and jumps to them, and push them behind its own
jumps (neutron's iptables_manager); none of its chains in these two tables ends a packet's way. Our
jumps may stand there, that of the scope marks must. Any other rule before ours makes us write
anew.

The chain `swanherd-written` of IPv4's mangle is in no packet's way. The comments of its rules
tell the guard, and the last one a digest of how iptables-save showed everything right after it
was written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from swanherd.core.model import TrafficSelector
from swanherd.core.network import GuardPair, RouterGuard, Way
from swanherd.dataplane.router_text import guard_of, parts

FAMILIES = (4, 6)
TABLES = ("raw", "mangle")

_OURS = "swanherd-"
_NEUTRONS = "neutron-"
_UNTRACKED_IN, _UNTRACKED_OUT = f"{_OURS}untracked-in", f"{_OURS}untracked-out"
_PAIRS = f"{_OURS}pairs"
_SCOPE, _FORWARD = f"{_OURS}scope", f"{_OURS}forward"
_INPUT, _OUTPUT = f"{_OURS}input", f"{_OURS}output"
_OUTWARDS, _INWARDS, _CLEAR = f"{_OURS}outwards", f"{_OURS}inwards", f"{_OURS}clear"
_MSS, _MARK = f"{_OURS}mss", f"{_OURS}written"

# By table: what jumps where, in which chain all packets of a kind come to ours.
_JUMPS = {
    "raw": {"PREROUTING": _UNTRACKED_IN, "OUTPUT": _UNTRACKED_OUT},
    "mangle": {"PREROUTING": _SCOPE, "FORWARD": _FORWARD, "INPUT": _INPUT, "OUTPUT": _OUTPUT},
}
_CHAINS = {"raw": (_PAIRS,), "mangle": (_OUTWARDS, _INWARDS, _CLEAR, _MARK)}

_EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}
# Never forwarded, and without them nobody finds a neighbour (RFC 4861).
_ON_LINK = {
    4: ("-d 224.0.0.0/4", "-d 255.255.255.255/32"),
    6: ("-s fe80::/10", "-d fe80::/10", "-d ff00::/8"),
}
# IPv6's AH is an extension header, which iptables doesn't call a protocol.
_CHARONS = {
    4: ("-p udp -m multiport {way}ports 500,4500", "-p esp", "-p ah"),
    6: ("-p udp -m multiport {way}ports 500,4500", "-p esp", "-m ah"),
}

# A comment has at most 255 bytes (linux/netfilter/xt_comment.h).
_COMMENT = 200
_SCOPE_MASK = 0xFFFF0000  # what of a mark is the scope's

# Of what iptables-save prints; it quotes what has more than letters and digits.
_WORDS = re.compile(r'"[^"]*"|\S+')

Listing = Mapping[int, str]
"""Text of or for iptables-save and iptables-restore, all tables of a family, by family."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What our chains are. `guard` is None if they aren't what we wrote; `digest` is of them."""

    guard: RouterGuard | None
    digest: str


def replacement(guard: RouterGuard, now: Listing) -> Listing:
    """Return the input of iptables-restore --noflush that turns what is now into the guard.

    Each table is one transaction. What closes is written before what lets pass untracked.
    """
    return {
        v: "".join(
            _table_text(table, seen.get(table, _NOTHING), _rules(guard, table, v))
            for seen in [_parse(now[v])]
            for table in reversed(TABLES)
        )
        for v in FAMILIES
    }


def mark(guard: RouterGuard, digest: str) -> Listing:
    """Return the input that makes the chains known as the guard's; written last."""
    rules = [
        f'-A {_MARK} -m comment --comment "{text}" -j RETURN\n'
        for text in (*parts(guard, _COMMENT), f"={digest}")
    ]
    return {4: f"*mangle\n:{_MARK} - [0:0]\n{''.join(rules)}COMMIT\n"}


def removal(now: Listing) -> Listing:
    """Return the input after which nothing of ours is there; no text where nothing is."""
    texts = {v: "".join(_removal_text(t, seen) for t, seen in _parse(now[v]).items()) for v in now}
    return {v: text for v, text in texts.items() if text}


def is_there(now: Listing) -> bool:
    """Tell whether anything of ours is in the tables."""
    return bool(removal(now))


def read(now: Listing) -> Reading:
    """Parse what iptables-save prints of our tables, by family."""
    tables = {v: _parse(text) for v, text in now.items()}
    lines = [line for v in FAMILIES for line in (f"family {v}", *_canonical(tables.get(v, {})))]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
    written = tables.get(4, {}).get("mangle", _NOTHING).rules_of(_MARK)
    *told, last = [_option(rule, "--comment").strip('"') for rule in written] or [""]
    if last != f"={digest}" or not _has_its_place(tables):
        return Reading(None, digest)
    return Reading(guard_of("".join(told), _seen_pairs(tables)), digest)


@dataclasses.dataclass(frozen=True, slots=True)
class _Table:
    """One table of one family: its chains, and all rules in their order, in words."""

    chains: frozenset[str] = frozenset()
    rules: tuple[tuple[str, ...], ...] = ()

    def rules_of(self, chain: str) -> list[tuple[str, ...]]:
        """Return the chain's rules, without the chain's name."""
        return [rule[1:] for rule in self.rules if rule[0] == chain]

    @property
    def ours(self) -> list[str]:
        """The names of our chains."""
        return sorted(c for c in self.chains if c.startswith(_OURS))


_NOTHING = _Table()


def _parse(text: str) -> dict[str, _Table]:
    """Parse what iptables-save prints, by table."""
    found: dict[str, _Table] = {}
    for name, body in re.findall(r"^\*(\S+)\n(.*?)^COMMIT$", text, re.MULTILINE | re.DOTALL):
        lines = body.splitlines()
        chains = frozenset(line[1:].split()[0] for line in lines if line.startswith(":"))
        words = (_WORDS.findall(line) for line in lines if line.startswith("-A "))
        found[name] = _Table(chains, tuple(tuple(rule[1:]) for rule in words))
    return found


# Writing


def _table_text(table: str, now: _Table, rules: Sequence[str]) -> str:
    jumped = _JUMPS[table].values()
    wanted = [*jumped, *_CHAINS[table], *sorted({r.split()[0] for r in rules if _MSS in r[:20]})]
    wanted = list(dict.fromkeys(wanted))
    gone = [c for c in now.ours if c not in wanted]
    return "\n".join(
        [
            f"*{table}",
            # Declaring a chain makes it, or empties it.
            *(f":{chain} - [0:0]" for chain in [*wanted, *gone]),
            *_jumps(table, now),
            *(f"-A {rule}" for rule in rules),
            *(f"-X {chain}" for chain in gone),
            "COMMIT\n",
        ]
    )


def _jumps(table: str, now: _Table) -> Iterator[str]:
    """Yield what brings each jump to its place, once: the first one, or of scopes the last."""
    for built_in, chain in _JUMPS[table].items():
        rules = now.rules_of(built_in)
        if _stands(rules, chain):
            continue
        yield from [f"-D {built_in} -j {chain}"] * rules.count(("-j", chain))
        yield f"-A {built_in} -j {chain}" if chain == _SCOPE else f"-I {built_in} 1 -j {chain}"


def _stands(rules: Sequence[tuple[str, ...]], chain: str) -> bool:
    jump = ("-j", chain)
    if rules.count(jump) != 1:
        return False
    before, after = rules[: rules.index(jump)], rules[rules.index(jump) + 1 :]
    if chain == _SCOPE:
        return not any(map(_is_neutrons, after))
    return all(map(_is_neutrons, before))


def _is_neutrons(rule: Sequence[str]) -> bool:
    return len(rule) == 2 and rule[0] == "-j" and rule[1].startswith(_NEUTRONS)


def _removal_text(table: str, now: _Table) -> str:
    if table not in TABLES or not now.ours:
        return ""
    jumps = [
        f"-D {built_in} -j {chain}"
        for built_in, chain in _JUMPS[table].items()
        for _ in range(now.rules_of(built_in).count(("-j", chain)))
    ]
    emptied = [f":{chain} - [0:0]" for chain in now.ours]
    removed = [f"-X {chain}" for chain in now.ours]
    return "\n".join([f"*{table}", *emptied, *jumps, *removed, "COMMIT\n"])


def _rules(guard: RouterGuard, table: str, version: int) -> list[str]:
    pairs = sorted(
        (pair for pair in guard.pairs if pair.selector.local.version == version),
        key=lambda pair: (pair.mss, pair.selector.sort_key),
    )
    selectors = list(dict.fromkeys(pair.selector for pair in pairs))
    exempt = [s for s in sorted(guard.exempt, key=lambda s: s.sort_key) if _is(s, version)]
    if table == "raw":
        return _raw(guard, version, selectors, exempt)
    closed = [
        *_both(_CLEAR, exempt, "-j RETURN"),
        *_both(_CLEAR, selectors, "-j DROP"),
    ]
    return [*_ways(guard, pairs), *closed, *_scope(guard, version), *_hooks(guard, version, pairs)]


def _is(selector: TrafficSelector, version: int) -> bool:
    return selector.local.version == version


def _raw(
    guard: RouterGuard,
    version: int,
    selectors: Sequence[TrafficSelector],
    exempt: Sequence[TrafficSelector],
) -> list[str]:
    untracked = "-j CT --notrack"
    incoming, outgoing = _charons(guard, version)
    return [
        *_both(_PAIRS, exempt, "-j RETURN"),
        *_both(_PAIRS, selectors, untracked),
        f"{_UNTRACKED_IN} -j {_PAIRS}",
        f"{_UNTRACKED_OUT} -j {_PAIRS}",
        *(f"{_UNTRACKED_IN} {match} {untracked}" for match in incoming),
        *(f"{_UNTRACKED_OUT} {match} {untracked}" for match in outgoing),
    ]


def _both(chain: str, selectors: Iterable[TrafficSelector], verdict: str) -> list[str]:
    """Return rules for the packets of these selectors, either way."""
    found = list(selectors)
    return [
        *(f"{chain} -s {s.local} -d {s.remote} {verdict}" for s in found),
        *(f"{chain} -s {s.remote} -d {s.local} {verdict}" for s in found),
    ]


def _ways(guard: RouterGuard, pairs: Sequence[GuardPair]) -> list[str]:
    """Return the chains of what will be encrypted and of what was decrypted."""
    if guard.way is Way.DETOUR:
        return []
    clamp = "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss"
    ends = [(p.selector.local, p.selector.remote, p.mss) for p in pairs]
    return [
        *(f"{_OUTWARDS} -s {local} -d {remote} -g {_MSS}{mss}" for local, remote, mss in ends),
        f"{_OUTWARDS} -g {_CLEAR}",
        *(f"{_INWARDS} -s {remote} -d {local} -g {_MSS}{mss}" for local, remote, mss in ends),
        # Nothing else that was decrypted goes anywhere.
        f"{_INWARDS} -j DROP",
        *(f"{_MSS}{mss} {clamp} {mss}" for mss in sorted({pair.mss for pair in guard.pairs})),
    ]


def _hooks(guard: RouterGuard, version: int, pairs: Sequence[GuardPair]) -> list[str]:
    incoming, outgoing = _charons(guard, version) if guard.silent else ([], [])
    arrived, leaves = _arrived(guard), _leaves(guard)
    inwards = [f"{m} {'-j DROP' if guard.silent else f'-g {_INWARDS}'}" for m in arrived]
    outwards = [f"{m} {'-j DROP' if guard.silent else f'-g {_OUTWARDS}'}" for m in leaves]
    # The external network has none of the local subnets, so nothing for the tunnel.
    outside = [f"-i {guard.public} {m} -j DROP" for m in leaves if guard.public]
    on_link = [f"{match} -j RETURN" for match in _ON_LINK[version]]
    # The central part sends what it decrypted straight to the workload, not through here.
    back = "-i qr-+ -o qr-+ -j RETURN"
    detour = [
        f"-s {p.selector.local} -d {p.selector.remote} {back}"
        for p in pairs
        if guard.way is Way.DETOUR
    ]
    last = f"-g {_CLEAR}"
    chains = {
        _FORWARD: [*detour, *inwards, *outside, *outwards, last],
        _INPUT: [*(f"{m} -j DROP" for m in incoming), *on_link, *inwards, last],
        _OUTPUT: [*(f"{m} -j DROP" for m in outgoing), *on_link, *outwards, last],
    }
    return [f"{chain} {rule}" for chain, rules in chains.items() for rule in rules]


def _charons(guard: RouterGuard, version: int) -> tuple[list[str], list[str]]:
    """Return what matches IKE and its like, coming in and going out."""
    addresses = sorted(a for a in guard.addresses if a.version == version)
    return (
        [
            f"-d {a}/{a.max_prefixlen} -i {guard.public} {kind.format(way='--d')}"
            for a in addresses
            for kind in _CHARONS[version]
        ],
        [
            f"-s {a}/{a.max_prefixlen} {kind.format(way='--s')}"
            for a in addresses
            for kind in _CHARONS[version]
        ],
    )


def _arrived(guard: RouterGuard) -> list[str]:
    """Match what was decrypted; nothing in a namespace that only steers."""
    ways = {Way.TUNNEL: [f"-i {guard.tunnel}"], Way.XFRM: ["-m policy --dir in --pol ipsec"]}
    return ways.get(guard.way, [])


def _leaves(guard: RouterGuard) -> list[str]:
    """Match what will be encrypted."""
    ways = {Way.TUNNEL: [f"-o {guard.tunnel}"], Way.XFRM: ["-m policy --dir out --pol ipsec"]}
    return ways.get(guard.way, [])


def _scope(guard: RouterGuard, version: int) -> list[str]:
    marks = sorted(
        (m for m in guard.marks if m.network.version == version), key=lambda m: str(m.network)
    )
    return [
        f"{_SCOPE} -d {each.network} {match} -j MARK --set-xmark {each.mark:#x}/{_SCOPE_MASK:#x}"
        for match in _arrived(guard)
        for each in marks
    ]


# Reading back


def _canonical(tables: Mapping[str, _Table]) -> list[str]:
    """Return our chains as lines; that packets come to them is another question."""
    lines = []
    for name in TABLES:
        table = tables.get(name, _NOTHING)
        ours = (rule for rule in table.rules if rule[0].startswith(_OURS) and rule[0] != _MARK)
        # The order of chains means nothing, that of a chain's rules does.
        lines += [name, *table.ours, *map(" ".join, sorted(ours, key=lambda rule: rule[0]))]
    return lines


def _has_its_place(tables: Mapping[int, Mapping[str, _Table]]) -> bool:
    """Tell whether every jump to a chain of ours stands where it has to."""
    return all(
        _stands(tables.get(version, {}).get(table, _NOTHING).rules_of(built_in), chain)
        for version, table in itertools.product(FAMILIES, TABLES)
        for built_in, chain in _JUMPS[table].items()
    )


def _seen_pairs(tables: Mapping[int, Mapping[str, _Table]]) -> Iterator[GuardPair]:
    for version, of_family in tables.items():
        for rule in of_family.get("mangle", _NOTHING).rules_of(_OUTWARDS):
            if (clamp := _option(rule, "-g")).startswith(_MSS):
                local = ipaddress.ip_network(_option(rule, "-s") or _EVERYTHING[version])
                remote = ipaddress.ip_network(_option(rule, "-d") or _EVERYTHING[version])
                mss = int(clamp.removeprefix(_MSS))
                yield GuardPair(TrafficSelector(local, remote), mss)


def _option(rule: Sequence[str], name: str) -> str:
    """Return the word after the option; an empty one if the rule doesn't have it."""
    return rule[rule.index(name) + 1] if name in rule[:-1] else ""
