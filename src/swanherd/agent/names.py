"""Peers' names: looked up, remembered for as long as their records live, and looked up again."""

from __future__ import annotations

import dataclasses
import ipaddress
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import dns.exception
import dns.resolver

from swanherd.core.failures import Temporary
from swanherd.core.model import IPAddress, Reason, RouterId

LOG = logging.getLogger(__name__)

# Of no router.
NOBODY = RouterId("-")

# Seconds for what has no TTL: the node's hosts file.
WITHOUT_TTL = 60.0
# Seconds between tries of what isn't found.
NOT_FOUND = 15.0
# No name is asked for more often, whatever its TTL.
LEAST = 2.0
# How often names are looked at whose time may be over.
NAMES_INTERVAL = 1.0
_PATIENCE = 3.0  # for all of a name's servers
# So many names are asked for at once: a few that nobody answers hold the others up.
_AT_ONCE = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A name's addresses, and for how many seconds they are good; none if it has none.

    `untold`: the IP versions of which no server has said anything.
    """

    addresses: frozenset[IPAddress]
    ttl: float
    untold: frozenset[int] = frozenset()


def look_up(name: str, resolver: dns.resolver.Resolver | None = None) -> Found:
    """Ask the node's DNS servers; what they don't know, the node's own resolver."""
    addresses: set[IPAddress] = set()
    ttls: list[float] = []
    untold: set[int] = set()
    for kind, version in (("A", 4), ("AAAA", 6)):
        try:
            asked = resolver or dns.resolver.get_default_resolver()
            answer = asked.resolve(name, kind, lifetime=_PATIENCE, search=True)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            continue
        except (dns.exception.DNSException, OSError):
            untold.add(version)
            continue
        if answer.rrset is not None:
            ttls.append(float(answer.rrset.ttl))
            addresses |= {ipaddress.ip_address(record.to_text()) for record in answer.rrset}
    if addresses:
        return Found(frozenset(addresses), max(min(ttls), LEAST), frozenset(untold))
    try:
        entries = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except OSError as error:
        LOG.warning("The name of a peer can't be resolved: %s", error)
        return Found(frozenset(), NOT_FOUND)
    texts = {str(entry[4][0]).partition("%")[0] for entry in entries}
    return Found(frozenset(map(ipaddress.ip_address, texts)), WITHOUT_TTL)


@dataclasses.dataclass(frozen=True, slots=True)
class _Known:
    addresses: frozenset[IPAddress]
    until: float
    lost: bool = False  # it wasn't found when it was asked for last


class Names:
    """Remembers names' addresses; safe to use from several threads. `clock`: monotonic seconds."""

    def __init__(self, find: Callable[[str], Found], clock: Callable[[], float]) -> None:
        self._find = find
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def resolve(self, name: str) -> Sequence[IPAddress]:
        """Return the name's addresses, sorted: of one that is known without a question.

        `refresh` sees to those whose time is over: while the servers are away each question takes
        many seconds, and turns of all routers would wait for some with such peers.
        """
        with self._lock:
            known = self._known.get(name)
        if known is None:
            known = self._ask(name, None)
        return sorted(known.addresses, key=lambda address: (address.version, int(address)))

    def refresh(self, used: Iterable[str]) -> frozenset[str]:
        """Look up the names in use whose time is over; return those that moved.

        Names that aren't in use are forgotten. Temporary if that can't be done now.
        """
        names = frozenset(used)
        with self._lock:
            self._known = {n: known for n, known in self._known.items() if n in names}
            now = self._clock()
            due = [(n, known) for n, known in self._known.items() if known.until <= now]
        due.sort(key=lambda each: each[1].until)
        # Those that nobody answers take many seconds each: only a few of them at a time.
        lost = [each for each in due if each[1].lost]
        due = [each for each in due if not each[1].lost] + lost[:_AT_ONCE]
        if not due:
            return frozenset()
        try:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                found = list(pool.map(lambda each: self._ask(*each), due))
        except RuntimeError as error:  # no thread can be had
            raise Temporary(NOBODY, Reason("names_unfollowed", str(error))) from error
        before_and_now = zip(due, found, strict=True)
        return frozenset(n for (n, old), new in before_and_now if new.addresses != old.addresses)

    def _ask(self, name: str, old: _Known | None) -> _Known:
        """A name that is lost stays where it was: the servers may only be away."""
        found = self._find(name)
        before = old.addresses if old is not None else frozenset()
        kept = frozenset(address for address in before if address.version in found.untold)
        addresses, until = found.addresses | kept or before, self._clock() + found.ttl
        known = _Known(addresses, until, lost=not found.addresses)
        with self._lock:
            self._known[name] = known
        return known
