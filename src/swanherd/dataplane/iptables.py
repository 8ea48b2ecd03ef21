"""The guard as chains of iptables, for a kernel without nf_tables: written and read back. Pure.

The chains are in the table `filter` of both families. A built-in chain's first rule jumps into
ours, which decides everything. The pairs are the rules of two chains, outwards and inwards, the
smaller mss first, so that where pairs overlap the smaller one holds; each goes to a chain that
clamps a SYN's segment size (RFC 9293 §3.7.1) and lets the packet pass.

The chain `swanherd-written` of IPv4 is in no packet's way. Its one rule's comment tells the
guard's devices and a digest of how iptables-save showed both families right after they were
written, as the comment in the nft table does.
"""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence

from swanherd.core.model import IPNetwork, TrafficSelector
from swanherd.core.network import Guard, GuardPair

FAMILIES = (4, 6)

_OURS = "swanherd-"
_FORWARD, _INPUT, _OUTPUT = f"{_OURS}forward", f"{_OURS}input", f"{_OURS}output"
_JUMPS = {"FORWARD": _FORWARD, "INPUT": _INPUT, "OUTPUT": _OUTPUT}
_OUTWARDS, _INWARDS = f"{_OURS}outwards", f"{_OURS}inwards"
_MSS = f"{_OURS}mss"
_MARK = f"{_OURS}written"

_EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}

# The protocol, the module's name and its option (iptables-extensions(8)).
_ICMP = {4: "-p icmp -m icmp --icmp-type", 6: "-p icmpv6 -m icmp6 --icmpv6-type"}
# RFC 792, RFC 4443: the types as numbers.
_ECHO = {4: (8, 0), 6: (128, 129)}
_ERRORS = {4: (3, 11, 12), 6: (1, 3, 4, 2)}
# RFC 4861 §4.3 and §4.4; RFC 2710 §3 and RFC 3810 §5.2: IPv6 alone has them.
_NEIGHBOURS = (135, 136)
_QUERY = (130,)
# Switches that snoop drop solicitations to groups that nobody reported (RFC 4541 §3).
_REPORTS = (131, 132, 143)

# IPv6's AH is an extension header, which iptables doesn't call a protocol.
_IPSEC = {4: ("-p esp", "-p ah"), 6: ("-p esp", "-m ah")}

# Of what iptables-save prints; it quotes what has a space, as our comment.
_WORDS = re.compile(r'"[^"]*"|\S+')

_LO_IN, _LO_OUT = f"{_INPUT} -i lo -j ACCEPT", f"{_OUTPUT} -o lo -j ACCEPT"
_TO_ITSELF = "-m addrtype --dst-type LOCAL --limit-iface-in"
_FROM_ITSELF = "-m addrtype --src-type LOCAL --limit-iface-out"

Tables = Mapping[int, str]
"""Text of or for iptables-save and iptables-restore, by family."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What our chains are. `guard` is None if they aren't what we wrote; `digest` is of them."""

    guard: Guard | None
    digest: str


def closed() -> Tables:
    """Return the input of iptables-restore --noflush that makes a guard which lets nothing pass.

    It is for a namespace without chains of ours.
    """
    empty = "*filter\n:INPUT - [0:0]\n:FORWARD - [0:0]\n:OUTPUT - [0:0]\nCOMMIT\n"
    ends = [f"{chain} -j DROP" for chain in _JUMPS.values()]
    return {v: _text(_Table.parse(empty), [], [_LO_IN, _LO_OUT, *ends]) for v in FAMILIES}


def replacement(guard: Guard, now: Tables) -> Tables:
    """Return the input of iptables-restore --noflush that turns what is now into the guard.

    Each family's is one transaction; a packet sees the old rules or the new ones. Rules of others
    stay where they are, behind ours.
    """
    clamps = sorted({pair.mss for pair in guard.pairs})
    chains = [_OUTWARDS, _INWARDS, *(f"{_MSS}{mss}" for mss in clamps)]
    return {v: _text(_Table.parse(now[v]), chains, _rules(guard, v)) for v in FAMILIES}


def mark(guard: Guard, digest: str) -> Tables:
    """Return the input of iptables-restore --noflush that makes the chains known as the guard's.

    It is written last, into a chain that `replacement` has made empty.
    """
    rule = f'-A {_MARK} -m comment --comment "{_comment(guard, digest)}" -j RETURN'
    return {4: f"*filter\n:{_MARK} - [0:0]\n{rule}\nCOMMIT\n"}


def is_there(now: Tables) -> bool:
    """Tell whether a guard of ours, whatever it has become, is in the tables of both families."""
    return all(_FORWARD in _Table.parse(now[v]).chains for v in FAMILIES)


def read(now: Tables) -> Reading:
    """Parse what iptables-save prints of the table `filter`, by family."""
    tables = {v: _Table.parse(now[v]) for v in FAMILIES}
    lines = [line for v in FAMILIES for line in (f"family {v}", *_canonical(tables[v]))]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
    marks = [_option(rule, "--comment").strip('"') for rule in tables[4].rules_of(_MARK)]
    guard = _guard(marks[0].split(), tables) if len(marks) == 1 else None
    if guard is None or marks != [_comment(guard, digest)]:
        return Reading(None, digest)
    return Reading(guard, digest)


@dataclasses.dataclass(frozen=True, slots=True)
class _Table:
    """One family's table `filter`: its chains, and all rules in their order, in words."""

    chains: frozenset[str]
    rules: tuple[tuple[str, ...], ...]

    @classmethod
    def parse(cls, text: str) -> _Table:
        """Parse the output of iptables-save -t filter; there may be none."""
        lines = text.splitlines()
        chains = frozenset(line[1:].split()[0] for line in lines if line.startswith(":"))
        words = (_WORDS.findall(line) for line in lines if line.startswith("-A "))
        return cls(chains, tuple(tuple(rule[1:]) for rule in words))

    def rules_of(self, chain: str) -> list[tuple[str, ...]]:
        """Return the chain's rules, without the chain's name."""
        return [rule[1:] for rule in self.rules if rule[0] == chain]


def _text(now: _Table, chains: Sequence[str], rules: Iterable[str]) -> str:
    """Return the whole change of one family's table."""
    wanted = [*_JUMPS.values(), _MARK, *chains]
    gone = sorted(c for c in now.chains if c.startswith(_OURS) and c not in wanted)
    return "\n".join(
        [
            "*filter",
            # Declaring a chain makes it, or empties it.
            *(f":{chain} - [0:0]" for chain in [*wanted, *gone]),
            *_jumps(now),
            *(f"-A {rule}" for rule in rules),
            *(f"-X {chain}" for chain in gone),
            "COMMIT\n",
        ]
    )


def _jumps(now: _Table) -> Iterable[str]:
    """Yield what makes each jump the first rule of its built-in chain, once."""
    for built_in, chain in _JUMPS.items():
        jump = ("-j", chain)
        there = now.rules_of(built_in)
        if there.count(jump) == 1 and there[0] == jump:
            continue
        yield from [f"-D {built_in} -j {chain}"] * there.count(jump)
        yield f"-I {built_in} 1 -j {chain}"


def _rules(guard: Guard, version: int) -> list[str]:
    pairs = sorted(
        (pair for pair in guard.pairs if pair.selector.local.version == version),
        key=lambda pair: (pair.mss, pair.selector.sort_key),
    )
    clamp = "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss"
    return [
        *(_pair_rule(_OUTWARDS, p.selector.local, p.selector.remote, p.mss) for p in pairs),
        *(_pair_rule(_INWARDS, p.selector.remote, p.selector.local, p.mss) for p in pairs),
        *(
            rule
            for mss in sorted({pair.mss for pair in guard.pairs})
            for rule in (f"{_MSS}{mss} {clamp} {mss}", f"{_MSS}{mss} -j ACCEPT")
        ),
        *(_LO_IN, _LO_OUT),
        *([] if guard.silent else _open(guard, version)),
        *(f"{chain} -j DROP" for chain in _JUMPS.values()),
    ]


def _open(guard: Guard, version: int) -> list[str]:
    return [
        *(f"{_FORWARD} {rule}" for rule in _forward(guard)),
        *(f"{_INPUT} {rule}" for rule in _input(guard, version)),
        *(f"{_OUTPUT} {rule}" for rule in _output(guard, version)),
    ]


def _pair_rule(chain: str, source: IPNetwork, destination: IPNetwork, mss: int) -> str:
    return f"{chain} -s {source} -d {destination} -g {_MSS}{mss}"


def _forward(guard: Guard) -> list[str]:
    if guard.tunnel:
        return [
            f"-i {guard.transit} -o {guard.tunnel} -j {_OUTWARDS}",
            f"-i {guard.tunnel} -o {guard.transit} -j {_INWARDS}",
        ]
    return [
        f"-i {guard.transit} {_leaves(guard)} -j {_OUTWARDS}",
        f"-o {guard.transit} {_arrived(guard)} -j {_INWARDS}",
    ]


def _input(guard: Guard, version: int) -> list[str]:
    """Let in what is decrypted, IKE and its like; neighbours need no address of the device."""
    public = f"-i {guard.public}"
    links = (public, f"-i {guard.transit}")
    # The router's own addresses on lo aren't for anyone who comes in clear.
    return [
        f"{_arrived(guard)} -j {_INWARDS}",
        *(r for link in links for r in _icmp(link, version, {6: (*_NEIGHBOURS, *_QUERY)})),
        f"{public} -p udp {_TO_ITSELF} -m multiport --dports 500,4500 -j ACCEPT",
        *(f"{public} {kind} {_TO_ITSELF} -j ACCEPT" for kind in _IPSEC[version]),
        *(r for link in links for r in _icmp(f"{link} {_TO_ITSELF}", version, _ECHO)),
        *(r for link in links for r in _icmp(f"{link} {_TO_ITSELF}", version, _ERRORS)),
    ]


def _output(guard: Guard, version: int) -> list[str]:
    """Let out IKE and its like from the public address only.

    No ICMP error leaves by the public device: it would carry the head of an inner packet.
    """
    public, transit = f"-o {guard.public}", f"-o {guard.transit}"
    return [
        f"{_leaves(guard)} -j {_OUTWARDS}",
        f"{public} -p udp {_FROM_ITSELF} -m multiport --sports 500,4500 -j ACCEPT",
        *(f"{public} {kind} {_FROM_ITSELF} -j ACCEPT" for kind in _IPSEC[version]),
        *_icmp(f"{public} {_FROM_ITSELF}", version, _ECHO),
        *_icmp(f"{public} {_FROM_ITSELF}", version, {6: _NEIGHBOURS}),
        *_icmp(public, version, {6: _REPORTS}),
        *_icmp(transit, version, _ECHO),
        *_icmp(transit, version, _ERRORS),
        *_icmp(transit, version, {6: (*_NEIGHBOURS, *_REPORTS)}),
    ]


def _icmp(match: str, version: int, types: Mapping[int, Sequence[int]]) -> list[str]:
    return [f"{match} {_ICMP[version]} {kind} -j ACCEPT" for kind in types.get(version, ())]


def _leaves(guard: Guard) -> str:
    """Match what will be encrypted."""
    return f"-o {guard.tunnel}" if guard.tunnel else "-m policy --dir out --pol ipsec"


def _arrived(guard: Guard) -> str:
    """Match what was decrypted."""
    return f"-i {guard.tunnel}" if guard.tunnel else "-m policy --dir in --pol ipsec"


def _comment(guard: Guard, digest: str) -> str:
    silent = " silent" if guard.silent else ""
    return f"{guard.transit} {guard.public} {guard.tunnel or '-'}{silent} {digest}"


# Reading back


def _canonical(table: _Table) -> list[str]:
    """Return our chains as lines: their rules in order, and whether all packets come to them."""
    ours = sorted(c for c in table.chains if c.startswith(_OURS))
    jumps = [
        f"{built_in} {rule == ('-j', chain)}"
        for built_in, chain in _JUMPS.items()
        for rule in [next(iter(table.rules_of(built_in)), ())]
    ]
    rules = [rule for rule in table.rules if rule[0].startswith(_OURS) and rule[0] != _MARK]
    # The order of chains means nothing, that of a chain's rules does.
    return [*ours, *jumps, *map(" ".join, sorted(rules, key=lambda rule: rule[0]))]


def _guard(words: Sequence[str], tables: Mapping[int, _Table]) -> Guard | None:
    """Return the guard whose devices the comment tells and whose pairs the chains have."""
    if len(words) < 4 or words[3:-1] not in ([], ["silent"]):
        return None
    transit, public, tunnel = words[:3]
    try:
        pairs = frozenset(
            _pair(rule, version)
            for version, table in tables.items()
            for rule in table.rules_of(_OUTWARDS)
        )
    except ValueError:
        # Not of our making.
        return None
    silent = len(words) > 4
    return Guard(transit, public, None if tunnel == "-" else tunnel, pairs, silent=silent)


def _pair(rule: Sequence[str], version: int) -> GuardPair:
    everything = _EVERYTHING[version]
    local = ipaddress.ip_network(_option(rule, "-s") or everything)
    remote = ipaddress.ip_network(_option(rule, "-d") or everything)
    return GuardPair(TrafficSelector(local, remote), int(_option(rule, "-g").removeprefix(_MSS)))


def _option(rule: Sequence[str], name: str) -> str:
    """Return the word after the option; an empty one if the rule doesn't have it."""
    return rule[rule.index(name) + 1] if name in rule[:-1] else ""
