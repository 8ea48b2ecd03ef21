"""A guard of a router's own namespace as text, which the kernel keeps as comments. Pure.

The pairs are read from the rules or sets; only a detour's, which have no segment size, are told.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from swanherd.core.model import ScopeMark, TrafficSelector
from swanherd.core.network import GuardPair, RouterGuard, Way

# Of the rules that are made of a guard: those of another form are written anew.
_FORM = "2"


def parts(guard: RouterGuard, length: int) -> list[str]:
    """Return the guard as text without quotation marks, in pieces of at most that length."""
    text = " ".join(
        [
            _FORM,
            guard.way,
            guard.public or "-",
            "silent" if guard.silent else "-",
            ",".join(sorted(map(str, guard.addresses))) or "-",
            ",".join(sorted(f"{m.network}={m.mark:#x}" for m in guard.marks)) or "-",
            ",".join(sorted(f"{s.local}>{s.remote}" for s in guard.exempt)) or "-",
            ",".join(sorted(f"{p.selector.local}>{p.selector.remote}" for p in guard.pairs))
            if guard.way is Way.DETOUR and guard.pairs
            else "-",
        ]
    )
    # nft takes no comment that ends with a space.
    text = text.replace(" ", "|")
    return [text[start : start + length] for start in range(0, len(text), length)]


def guard_of(text: str, seen: Iterable[GuardPair]) -> RouterGuard | None:
    """Return the guard that the text tells, with the pairs that were seen; None if it isn't ours.

    What `seen` raises for something that isn't ours (KeyError, TypeError, ValueError) is caught.
    """
    try:
        form, way, public, silent, addresses, marks, exempt, told = text.split("|")
        if form != _FORM:
            return None
        return RouterGuard(
            way=Way(way),
            public="" if public == "-" else public,
            addresses=frozenset(map(ipaddress.ip_address, _list(addresses))),
            pairs=frozenset(GuardPair(_selector(each), 0) for each in _list(told))
            | frozenset(seen),
            exempt=frozenset(map(_selector, _list(exempt))),
            marks=frozenset(map(_scope_mark, _list(marks))),
            silent=silent == "silent",
        )
    except (KeyError, TypeError, ValueError):
        return None


def _list(text: str) -> list[str]:
    return [] if text == "-" else text.split(",")


def _selector(text: str) -> TrafficSelector:
    local, _, remote = text.partition(">")
    return TrafficSelector(ipaddress.ip_network(local), ipaddress.ip_network(remote))


def _scope_mark(text: str) -> ScopeMark:
    network, _, value = text.partition("=")
    return ScopeMark(ipaddress.ip_network(network), int(value, 16))
